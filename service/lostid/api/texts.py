"""What each code means, in one table: status, title and detail in English and Chinese, and when to come back."""
# ruff: noqa: E501  a table reads best with whole sentences in a line

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Text(NamedTuple):
    status: int
    title: str
    detail: str
    title_zh: str
    detail_zh: str
    retry_after: int | None = None


TABLE: Mapping[str, Text] = {
    "request_malformed": Text(400, "Malformed request", "This is not one HTTP/1.1 request as RFC 9112 has it.",
                              "请求格式错误", "这不是符合 RFC 9112 的 HTTP/1.1 请求。"),
    "json_malformed": Text(400, "Malformed JSON", "The body is not one JSON value in UTF-8 as RFC 8259 has it.",
                           "JSON 格式错误", "请求体不是符合 RFC 8259 的 UTF-8 JSON。"),
    "key_repeated": Text(400, "Repeated key", "An object in the body names the same key twice.",
                         "键重复", "请求体的某个对象中有重复的键。"),
    "idempotency_key_missing": Text(400, "Idempotency-Key missing",
                                    "A write needs an Idempotency-Key header: 1 to 255 printable ASCII characters.",
                                    "缺少 Idempotency-Key", "写入请求必须带 Idempotency-Key 头：1 至 255 个可打印 ASCII 字符。"),
    "key_missing": Text(401, "API key missing", "Send the API key as Authorization: Bearer lid_live_...",
                        "缺少 API 密钥", "请以 Authorization: Bearer lid_live_... 发送 API 密钥。"),
    "key_unknown": Text(401, "API key unknown", "No such API key.", "API 密钥未知", "没有这个 API 密钥。"),
    "key_revoked": Text(401, "API key revoked", "This API key has been revoked.", "API 密钥已吊销", "该 API 密钥已被吊销。"),
    "role_missing": Text(403, "Role missing", "This API key does not have the role that the call needs.",
                         "缺少角色", "该 API 密钥没有此调用所需的角色。"),
    "operator_mismatch": Text(403, "Another operator", "This API key belongs to one operator, and the body names another.",
                              "操作员不符", "该 API 密钥属于某一操作员，而请求体写的是另一位。"),
    "purpose_not_allowed": Text(403, "Purpose not allowed", "This API key may not check for this purpose.",
                                "用途不允许", "该 API 密钥不得用于此用途的核查。"),
    "reason_not_allowed": Text(403, "Reason not allowed", "This API key may not report for this reason.",
                               "事由不允许", "该 API 密钥不得以此事由报告。"),
    "same_person": Text(403, "Same person", "Two different people are needed.", "同一人", "须由两个不同的人完成。"),
    "same_station": Text(403, "Same station", "Two different stations are needed.", "同一单位", "须由两个不同的单位完成。"),
    "cap_reached": Text(403, "Cap reached", "This operator has reached the cap for this action.",
                        "已达上限", "该操作员已达到此操作的上限。"),
    "not_found": Text(404, "Not found", "There is nothing here that this API key may see.",
                      "未找到", "此处没有该 API 密钥可见的内容。"),
    "method_not_allowed": Text(405, "Method not allowed", "The Allow header lists the methods of this address.",
                               "方法不允许", "Allow 头列出了该地址允许的方法。"),
    "idempotency_key_in_use": Text(409, "Request under way",
                                   "A request with this Idempotency-Key is being worked on; ask again shortly.",
                                   "请求处理中", "带有此 Idempotency-Key 的请求正在处理，请稍后再问。"),
    "withdrawal_not_pending": Text(409, "Withdrawal not pending", "This withdrawal has already been decided.",
                                   "撤销不在待批状态", "该撤销申请已有结论。"),
    "withdrawal_overtaken": Text(409, "Withdrawal overtaken", "A newer report on the document overtook this withdrawal.",
                                 "撤销已被取代", "该证件有更新的报告，撤销申请失效。"),
    "withdrawal_expired": Text(409, "Withdrawal expired", "This withdrawal was not approved in time.",
                               "撤销已过期", "该撤销申请未在期限内获批。"),
    "body_too_large": Text(413, "Body too large", "A request body may have 256 KiB.", "请求体过大", "请求体不得超过 256 KiB。"),
    "media_type": Text(415, "Media type", "The body has to be application/json in UTF-8, not encoded further; "
                       "rows of imports: text/csv (utf-8, gb18030) or application/x-ndjson.",
                       "媒体类型不支持", "请求体须为 UTF-8 的 application/json，且不再编码；"
                       "导入的行须为 text/csv（utf-8、gb18030）或 application/x-ndjson。"),
    "invalid": Text(422, "Invalid request", "The errors say which parts of the request are refused, and why.",
                    "请求无效", "errors 列出被拒绝的部分及原因。"),
    "idempotency_key_reused": Text(422, "Idempotency-Key reused",
                                   "This Idempotency-Key was used before for another request.",
                                   "Idempotency-Key 被重复使用", "此 Idempotency-Key 已用于另一个请求。"),
    "head_too_large": Text(431, "Request head too large",
                           "A request line with its header fields may have 16 KiB, and so may what follows a body.",
                           "请求头过大", "请求行与头字段合计不得超过 16 KiB，请求体之后的尾部字段亦然。"),
    "rate_limited": Text(429, "Too many requests", "This API key has used up its rate; Retry-After says when to go on.",
                         "请求过多", "该 API 密钥已超出速率，Retry-After 给出可重试的时间。", 1),
    "freshness_unproven": Text(503, "Freshness not proved",
                               "It cannot be proved at this moment that every report is known here, so there is no answer.",
                               "无法证明时效", "此刻无法证明所有报告均已知悉，因此不作答复。", 1),
    "ledger_unavailable": Text(503, "Ledger unavailable",
                               "The ledger cannot be reached. Ask again with the same Idempotency-Key.",
                               "账本不可用", "无法连接账本。请以相同的 Idempotency-Key 重试。", 1),
    "not_yet_in_force": Text(503, "Recorded, not yet proved to be in force",
                             "The report is recorded under the given id, but its effect is not yet proved. "
                             "Ask again with the same Idempotency-Key.",
                             "已记录，尚未证明生效", "报告已以所给编号记录，但尚未证明生效。请以相同的 Idempotency-Key 再问。", 1),
    "overloaded": Text(503, "Overloaded", "Too many requests wait. Ask again after Retry-After.",
                       "负载过高", "等待的请求过多，请在 Retry-After 之后重试。", 1),
    "starting": Text(503, "Starting", "The server is starting.", "正在启动", "服务正在启动。", 1),
}  # fmt: skip
