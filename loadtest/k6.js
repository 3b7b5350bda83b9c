// The hotel's evening for k6: LOSTID_URL=http://127.0.0.1:8080 LOSTID_KEY=... k6 run k6.js
// Arrivals by schedule (open loop), but latency counts from when a request is sent: a stall looks shorter than it was.
import http from "k6/http";
import { check } from "k6";

const WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]; // GB 11643-1999

export const options = {
  scenarios: {
    evening: {
      executor: "ramping-arrival-rate",
      startRate: 50,
      timeUnit: "1s",
      preAllocatedVUs: 32,
      maxVUs: 256,
      stages: [
        { target: 500, duration: "20s" },
        { target: 500, duration: "40s" },
      ],
    },
  },
  thresholds: { checks: ["rate==1"], http_req_duration: ["p(99)<50"] },
};

// A number in area 990000, which no person has.
function number(serial) {
  const birth = new Date(Date.UTC(1920, 0, 1 + (serial % 30000))).toISOString().slice(0, 10).replaceAll("-", "");
  const body = `990000${birth}${String(Math.floor(serial / 30000) % 1000).padStart(3, "0")}`;
  const sum = WEIGHTS.reduce((total, weight, at) => total + weight * Number(body[at]), 0);
  return body + "10X98765432"[sum % 11];
}

export default function () {
  const document = {
    type: "cn.resident-id",
    number: number(Math.floor(Math.random() * 1000000)),
    valid_from: "2014-05-01",
  };
  const response = http.post(
    `${__ENV.LOSTID_URL}/v1/checks`,
    JSON.stringify({ document, operator: "desk-1", purpose: "hotel.check_in" }),
    { headers: { Authorization: `Bearer ${__ENV.LOSTID_KEY}`, "Content-Type": "application/json" } },
  );
  check(response, { "is answered clear": (r) => r.status === 200 && r.json("status") === "clear" });
}
