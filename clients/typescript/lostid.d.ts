// Made by make_types.py from openapi.json. Fields may be added at any time; ignore what you do not know.

export type Alias = { type: string; number: string; issuing_state?: string };
export type CheckAnswer = { id: string; status: string; advice: string; as_of: string; fresh_until: string; fresh_for_ms: number; seq: number; needs?: (string)[]; notices?: (string)[]; reason?: string; effective_at?: string; receipt?: string; receipt_salt?: string };
export type CheckRequest = { document: Document; operator: string; purpose: "hotel.check_in" | "bank.account_opening" | "bank.loan" | "rail.ticketing" | "rail.gate" | "telecom.contract" | "police.inquiry" | "other"; reference?: string; receipt?: boolean };
export type Covers = { types: (string)[]; all?: boolean; valid_from_through?: string; issue_no_through?: number; card_serial?: string; card_serial_except?: string };
export type Document = { type: string; number: string; issuing_state?: string; valid_from?: string; valid_until?: string; issue_no?: number; card_serial?: string };
export type KeySet = { keys: ({ kty: string; crv: string; x: string; kid: string; use: string; alg: string; endorsement?: string })[] };
export type NewCard = { valid_from?: string; issue_no?: number; card_serial?: string };
export type ReportReceipt = { id: string; seq: number; state: "in_force"; covers: Covers; recorded_at: string; in_force_at: string; visibility: Visibility; notices?: (string)[]; receipt?: string };
export type ReportRequest = { document: Document; reason: "lost" | "stolen" | "found" | "seized" | "replaced" | "cancelled" | "deceased"; operator: string; case_number: string; effective_at?: string; replaced_by?: NewCard; also_known_as?: (Alias)[] };
export type Visibility = { hosts: number; confirmed: number; waited_ms: number };

export class LostidError extends Error {}
export class NoAnswer extends LostidError { reason: string }
export class UnknownOutcome extends LostidError { idempotencyKey: string }
export class Refused extends LostidError {
  status: number; code: string; errors: { pointer: string; code: string }[]; requestId?: string;
}
export class ReceiptRefused extends LostidError {}

/** `expires`: on performance.now(); nobody may act on the answer after it. */
export type Answer = CheckAnswer & {
  clear: boolean; proceed: boolean; expires: number; error?: { code: string; pointer: string }; reference?: string;
};
export interface Asking { operator: string; purpose: string; receipt?: boolean }
export type Reporting = Omit<ReportRequest, "document"> & { idempotencyKey?: string };

export class Client {
  constructor(url: string, key: string);
  check(document: CheckRequest["document"], asking: Asking & { reference?: string }): Promise<Answer>;
  checkMany(
    documents: CheckRequest["document"][], asking: Asking & { references?: (string | undefined)[] },
  ): Promise<Answer[]>;
  report(
    document: ReportRequest["document"], reporting: Reporting,
  ): Promise<ReportReceipt & { idempotencyKey: string }>;
  jwks(): Promise<KeySet>;
}
export function verifyReceipt(receipt: string, jwks: KeySet): Promise<Record<string, unknown> & { typ: string }>;
