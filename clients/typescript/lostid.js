// Ask the lostid registry whether an identity document was reported, and report one. fetch and WebCrypto, nothing else.
//
// What must hold: an answer is handed out only while fresh_for_ms, counted from before its request was sent, has not
// passed; no call takes longer than its deadline; a report is repeated only under its idempotency key; what this version
// does not know permits nothing. Types: lostid.d.ts.

const CHECK_DEADLINE_MS = 1500;
const WRITE_DEADLINE_MS = 10000;
// At most one retry in ten calls over time, with a reserve of five: retries must not make an outage worse.
const RETRY_RESERVE = 5;
const RETRY_PER_CALL = 0.1;
const ADVICE = new Set(["proceed", "refuse", "provide_instance", "check_at_gate"]);
const RECEIPTS = new Set(["lostid-check+jwt", "lostid-batch+jwt", "lostid-report+jwt"]);
// Codes with which surely nothing was written.
const NOT_RECORDED = new Set(["rate_limited", "overloaded", "starting"]);

export class LostidError extends Error {}

/** There is no answer that may be acted on. It is never permission. */
export class NoAnswer extends LostidError {
  constructor(cause) {
    super(`no answer: ${cause}`);
    this.reason = cause;
  }
}

/** Nobody knows whether the write happened. Repeat it with `idempotencyKey`: it then happens once. */
export class UnknownOutcome extends LostidError {
  constructor(idempotencyKey, cause) {
    super(`not known whether it was recorded (${cause}); repeat it with the same idempotency key`);
    this.idempotencyKey = idempotencyKey;
  }
}

/** The registry understood and said no. */
export class Refused extends LostidError {
  constructor(status, problem) {
    super(`${status} ${problem.code ?? "unknown"}`);
    this.status = status;
    this.code = problem.code ?? "unknown";
    this.errors = problem.errors ?? [];
    this.requestId = problem.request_id;
  }
}

/** The receipt does not prove what it is said to prove. */
export class ReceiptRefused extends LostidError {}

export class Client {
  #url;
  #key;
  #retries = RETRY_RESERVE;

  constructor(url, key) {
    this.#url = url.replace(/\/+$/, "");
    this.#key = key;
  }

  async check(document, { operator, purpose, reference, receipt }) {
    const body = { document, operator, purpose, reference, receipt };
    const { told, expires } = await this.#ask("/v1/checks", body);
    return answerOf(told, expires);
  }

  async checkMany(documents, { operator, purpose, references, receipt }) {
    const checks = documents.map((document, at) => ({ document, reference: references?.[at] }));
    const { told, expires } = await this.#ask("/v1/checks/batch", { operator, purpose, receipt, checks });
    if (!Array.isArray(told.results) || told.results.length !== documents.length) throw new NoAnswer("malformed");
    const { results, ...shared } = told;
    return results.map((result) => answerOf({ ...shared, ...result }, expires));
  }

  async report(document, { idempotencyKey = crypto.randomUUID(), ...rest }) {
    const deadline = performance.now() + WRITE_DEADLINE_MS;
    const headers = { "Idempotency-Key": idempotencyKey };
    let inDoubt = false;
    this.#earn();
    for (let attempt = 1; ; attempt++) {
      const { status, told, wait, cause } = await this.#send("POST", "/v1/reports", { document, ...rest }, deadline, headers);
      if (status >= 200 && status < 300) return { ...told, idempotencyKey };
      if (!mayRetry(status) && cause !== "idempotency_key_in_use") throw new Refused(status, told);
      inDoubt ||= !NOT_RECORDED.has(cause);
      const again = inDoubt || (attempt < 2 && this.#spend()); // what is in doubt needs no leave of the budget
      if (!again || performance.now() + wait >= deadline) {
        throw inDoubt ? new UnknownOutcome(idempotencyKey, cause) : new NoAnswer(cause);
      }
      await pause(wait);
    }
  }

  /** The registry's public keys. Kept with the receipts they verify them for ever. */
  async jwks() {
    const deadline = performance.now() + WRITE_DEADLINE_MS;
    const { status, told, cause } = await this.#send("GET", "/.well-known/jwks.json", undefined, deadline);
    if (status === 200) return told;
    throw mayRetry(status) ? new NoAnswer(cause) : new Refused(status, told);
  }

  async #ask(path, body) {
    const deadline = performance.now() + CHECK_DEADLINE_MS;
    this.#earn();
    for (let attempt = 1; ; attempt++) {
      const sent = performance.now(); // before the request leaves: the age is counted from here
      const sentWall = Date.now(); // performance.now() may stand still while the machine sleeps
      let { status, told, wait, cause } = await this.#send("POST", path, body, deadline);
      if (status === 200) {
        const fresh = typeof told.fresh_for_ms === "number" ? told.fresh_for_ms : 0;
        const age = Math.max(performance.now() - sent, Date.now() - sentWall);
        if (age < fresh) return { told, expires: performance.now() + fresh - age };
        cause = "stale";
      } else if (!mayRetry(status)) {
        throw new Refused(status, told);
      }
      if (attempt === 2 || performance.now() + wait >= deadline || !this.#spend()) throw new NoAnswer(cause);
      await pause(wait);
    }
  }

  #earn() {
    this.#retries = Math.min(RETRY_RESERVE, this.#retries + RETRY_PER_CALL);
  }

  #spend() {
    if (this.#retries < 1) return false;
    this.#retries -= 1;
    return true;
  }

  /** One attempt. `status` 0: no reply, and `cause` says why. */
  async #send(method, path, body, deadline, headers = {}) {
    const left = Math.max(1, deadline - performance.now());
    let wait = 20 + Math.random() * 80;
    try {
      const response = await fetch(this.#url + path, {
        method,
        headers: { Authorization: `Bearer ${this.#key}`, "Content-Type": "application/json", ...headers },
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.timeout(Math.ceil(left)),
        redirect: "error",
      });
      const told = objectOf(await response.text());
      const after = response.headers.get("retry-after") ?? "";
      if (/^\d+$/.test(after)) wait = Number(after) * 1000;
      return { status: response.status, told, wait, cause: told.code ?? `http_${response.status}` };
    } catch (error) {
      return { status: 0, told: {}, wait, cause: error.name === "TimeoutError" ? "timeout" : "unreachable" };
    }
  }
}

/** The claims of a receipt of this registry, with its kind as `typ`. Needs no line. */
export async function verifyReceipt(receipt, jwks) {
  const parts = receipt.trim().split(".");
  if (parts.length !== 3) throw new ReceiptRefused("not a compact JWS");
  const header = jsonOf(parts[0]);
  const signedAsReceiptsAre = header.alg === "Ed25519" || header.alg === "EdDSA"; // RFC 9864, RFC 8037
  if (!signedAsReceiptsAre || Object.keys(header).sort().join() !== "alg,kid,typ") {
    throw new ReceiptRefused("not signed the way receipts are signed");
  }
  if (!RECEIPTS.has(header.typ)) throw new ReceiptRefused("not a receipt");
  for (const { kty, crv, x } of jwks.keys) {
    if (kty !== "OKP" || crv !== "Ed25519" || (await thumbprint(x)) !== header.kid) continue;
    const key = await crypto.subtle.importKey("raw", bytesOf(x), "Ed25519", false, ["verify"]);
    const signed = new TextEncoder().encode(`${parts[0]}.${parts[1]}`);
    if (!(await crypto.subtle.verify("Ed25519", key, bytesOf(parts[2]), signed))) {
      throw new ReceiptRefused("the signature does not fit");
    }
    return { ...jsonOf(parts[1]), typ: header.typ };
  }
  throw new ReceiptRefused("signed with a key that is not the registry's");
}

function answerOf(told, expires) {
  if (told.error) return { ...told, status: "refused_number", advice: "refuse", clear: false, proceed: false, expires };
  const clear = told.status === "clear";
  const known = ADVICE.has(told.advice) && (told.advice !== "proceed" || clear);
  const advice = known ? told.advice : "refuse";
  return { ...told, advice, clear, proceed: advice === "proceed", expires };
}

/** RFC 7638 section 3. */
async function thumbprint(x) {
  const members = new TextEncoder().encode(JSON.stringify({ crv: "Ed25519", kty: "OKP", x }));
  return Buffer64.encode(new Uint8Array(await crypto.subtle.digest("SHA-256", members)));
}

const Buffer64 = {
  encode: (bytes) =>
    btoa(String.fromCharCode(...bytes))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replace(/=+$/, ""),
  decode: (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0)),
};

function bytesOf(text) {
  let bytes;
  try {
    bytes = Buffer64.decode(text);
  } catch {
    throw new ReceiptRefused("not base64url");
  }
  if (Buffer64.encode(bytes) !== text) throw new ReceiptRefused("not canonical base64url");
  return bytes;
}

function jsonOf(part) {
  const told = objectOf(new TextDecoder().decode(bytesOf(part)));
  if (Object.keys(told).length === 0) throw new ReceiptRefused("not a JSON object");
  return told;
}

/** An empty object for what is none: a proxy's page in place of an answer. */
function objectOf(text) {
  try {
    const told = JSON.parse(text);
    return told !== null && typeof told === "object" && !Array.isArray(told) ? told : {};
  } catch {
    return {};
  }
}

function mayRetry(status) {
  return status === 0 || status === 429 || status >= 500;
}

function pause(ms) {
  return new Promise((done) => setTimeout(done, ms));
}
