"""The run as one HTML page that needs nothing else: figures, percentiles, what went on second by second."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

from lostid_load.results import Result

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 860, 260, 64, 34
_QUANTILES = (0, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 99.999)

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2530; --soft: #64707f; --rule: #d9dee5; --paper: #ffffff; --blue: #2463c4;
        --amber: #b3640a; --red: #b3261e; --green: #1d7a46; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #98a4b3; --rule: #333c48; --paper: #12161c;
        --blue: #7aa7f0; --amber: #e3a04f; --red: #f2837b; --green: #6fcf97; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2.5rem auto;
       max-width: 920px; padding: 0 1.25rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; } p { color: var(--soft); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(96px, 1fr)); gap: .9rem; margin: 1.6rem 0; }
.figure { border-top: 3px solid var(--rule); padding-top: .5rem; } .figure b { font-size: 1.25rem; display: block;
       white-space: nowrap; font-variant-numeric: tabular-nums; }
.figure span { color: var(--soft); font-size: .85rem; }
.good { border-color: var(--green); } .bad { border-color: var(--red); } .bad b { color: var(--red); }
.note { border-left: 4px solid var(--amber); padding: .4rem .9rem; color: var(--ink); }
svg { width: 100%; height: auto; } svg text { fill: var(--soft); font-size: 12px; } .axis { stroke: var(--rule); }
.line { fill: none; stroke: var(--blue); stroke-width: 2; }
.second { stroke: var(--amber); stroke-dasharray: 3 5; }
.key { color: var(--blue); } .key-second { color: var(--amber); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } td, th { padding: .25rem 1.2rem .25rem 0;
       text-align: right; border-bottom: 1px solid var(--rule); } th:first-child, td:first-child { text-align: left; }
"""


def render(result: Result, broken: Sequence[str]) -> str:
    """The page; ``broken``: the thresholds that were not kept."""
    scenario, figures = result.scenario, result.figures
    wrong = int(figures["wrong"])
    parts = [
        f"<h1>{html.escape(scenario.name)}</h1><p>{html.escape(scenario.about)} Seed {scenario.seed}, "
        f"{scenario.seconds:g} s, {scenario.connections * scenario.processes} connections, batch {scenario.batch}.</p>",
        '<div class="figures">',
        _figure(f"{wrong}", "wrong answers", "bad" if wrong else "good"),
        _figure(f"{figures['checks']:,.0f}", "checks answered"),
        _figure(f"{figures['checks_rate']:,.0f}/s", "checks per second"),
        *([_figure(f"{figures['sustained']:,.0f}/s", "highest rate sustained")] if scenario.ladder else []),
        _figure(_short(figures["p50"]), "p50"),
        _figure(_short(figures["p99"]), "p99"),
        _figure(_short(figures["p99.9"]), "p99.9"),
        *([_figure(_short(figures["receipt_p99"]), "p99, until the receipt")] if figures["reports"] else []),
        *([_figure(_short(figures["everywhere_p99"]), "p99, until refused everywhere")] if figures["probes"] else []),
        _figure(f"{figures['failed'] + figures['unfinished']:,.0f}", "failed or unfinished"),
        "</div>",
    ]
    if result.bottleneck:
        parts.append(f'<p class="note">{html.escape(result.bottleneck)}</p>')
    for text in broken:
        parts.append(f'<p class="note">Not kept: {html.escape(text)}</p>')
    parts += [
        "<h2>Latency by percentile, from the intended start</h2>",
        _percentile_plot(("line", result.checks)),
        *_of_reports(result),
        "<h2>Requests per second</h2>",
        '<p><span class="key">answered</span>, <span class="key-second">as scheduled (dashed)</span></p>',
        _throughput_plot(result),
        "<h2>Worst latency of each second</h2>",
        _worst_plot(result),
        "<h2>Percentiles</h2>",
        _table(result),
    ]
    if scenario.ladder:
        parts += ["<h2>Steps</h2>", _step_table(result)]
    body = "\n".join(parts)
    title = html.escape(f"lostid load test: {scenario.name}")
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style>
<body>{body}</body></html>
"""


def _figure(value: str, label: str, kind: str = "") -> str:
    return f'<div class="figure {kind}"><b>{html.escape(value)}</b><span>{html.escape(label)}</span></div>'


def _short(ms: float) -> str:
    """Three figures that fit into their place."""
    return f"{ms / 1000:.2f} s" if ms >= 1000 else f"{ms:.3g} ms"


def _of_reports(result: Result) -> list[str]:
    if not result.everywhere.get_total_count():
        return []
    legend = (
        '<p><span class="key">until the receipt</span>, '
        f'<span class="key-second">until {result.scenario.probes} connections were refused (dashed)</span></p>'
    )
    plot = _percentile_plot(("line", result.reports), ("line second", result.everywhere))
    return ["<h2>Reports by percentile, from when they were due</h2>", legend, plot]


def _percentile_plot(*shown: tuple[str, Any]) -> str:
    """Percentile on a scale of nines, so that the tail has room; latency on a logarithmic one."""
    lines = [(kind, _points(histogram)) for kind, histogram in shown]
    longest = max((points for _, points in lines), key=len)
    if not longest:
        return "<p>No answers.</p>"
    latencies = [latency for _, points in lines for _, latency in points]
    top, low, last = max(latencies) * 1.2, min(latencies) * 0.8, _nines(longest[-1][0])
    inner = _log_grid(low, top)
    for q, _ in longest:
        if q in (0, 50, 90, 99, 99.9, 99.99, 99.999):
            label = f"p{q:g}" if q else "min"
            inner += f'<text x="{_x(_nines(q), last):.0f}" y="{_HEIGHT - 12}" text-anchor="middle">{label}</text>'
    for kind, points in lines:
        path = " ".join(f"{_x(_nines(q), last):.1f},{_y_log(latency, low, top):.1f}" for q, latency in points)
        inner += f'<polyline class="{kind}" points="{path}"/>'
    return _svg(inner, "latency in ms by percentile")


def _points(histogram: Any) -> list[tuple[float, float]]:
    """As far as there are answers to tell one percentile from the next: beyond that the line would only look calm."""
    count = histogram.get_total_count()
    known = [q for q in _QUANTILES if q <= 50 or count * (100 - q) >= 100]
    return [(q, histogram.get_value_at_percentile(q) / 1000.0) for q in known] if count else []


def _throughput_plot(result: Result) -> str:
    whole = result.seconds[: max(1, int(result.scenario.seconds))]  # the rest of one would look like a collapse
    sent = [float(second.sent) for second in whole]
    answered = [float(second.answered) for second in whole]
    top = max([*sent, *answered, 1.0]) * 1.15
    return _svg(
        _grid(top, "/s") + _seconds(len(sent)) + _series(answered, top, "line") + _series(sent, top, "line second"),
        "requests per second: answered, and as scheduled",
    )


def _worst_plot(result: Result) -> str:
    worst = [second.worst_us / 1000.0 for second in result.seconds]
    top = max([*worst, 0.001]) * 1.15
    return _svg(
        _grid(top, " ms") + _seconds(len(worst)) + _series(worst, top, "line"), "worst latency of each second in ms"
    )


def _table(result: Result) -> str:
    rows = [
        ("checks, from the intended start", result.checks),
        ("reports, until the receipt", result.reports),
        ("reports, until refused everywhere", result.everywhere),
    ]
    head = "".join(f"<th>p{q:g}</th>" for q in (50, 90, 99, 99.9, 99.99)) + "<th>max</th><th>count</th>"
    lines = []
    for label, histogram in rows:
        if not histogram.get_total_count():
            continue
        cells = "".join(
            f"<td>{histogram.get_value_at_percentile(q) / 1000.0:.2f}</td>" for q in (50, 90, 99, 99.9, 99.99)
        )
        most, count = histogram.get_max_value() / 1000.0, histogram.get_total_count()
        lines.append(f"<tr><td>{label}</td>{cells}<td>{most:.2f}</td><td>{count:,}</td></tr>")
    return f"<table><tr><th>milliseconds</th>{head}</tr>{''.join(lines)}</table>"


def _step_table(result: Result) -> str:
    rows = "".join(
        f"<tr><td>{step.rate:,.0f}/s</td><td>{step.sent:,}</td><td>{step.in_time:,}</td>"
        f"<td>{'sustained' if step.sustained else 'not sustained'}</td></tr>"
        for step in result.steps
    )
    return f"<table><tr><th>rate</th><th>requests</th><th>answered in 100 ms</th><th></th></tr>{rows}</table>"


def _series(values: Sequence[float], top: float, kind: str) -> str:
    last = max(1, len(values) - 1)
    points = " ".join(f"{_x(i, last):.1f},{_y(value, top):.1f}" for i, value in enumerate(values))
    return f'<polyline class="{kind}" points="{points}"/>'


def _seconds(count: int) -> str:
    """The seconds of the run along the bottom."""
    last = max(1, count - 1)
    step = max(1, round(_round_step(last / 8)))
    return "".join(
        f'<text x="{_x(at, last):.0f}" y="{_HEIGHT - 12}" text-anchor="middle">{at} s</text>'
        for at in range(0, last + 1, step)
    )


def _grid(top: float, unit: str) -> str:
    step = _round_step(top / 4)
    lines = []
    value = 0.0
    while value <= top:
        lines.append(_rule(_y(value, top), f"{value:,.6g}{unit}"))
        value += step
    return "".join(lines)


def _log_grid(low: float, top: float) -> str:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(top))
    values = [10.0**power * digit for power in range(first, last + 1) for digit in (1, 2, 5)]
    return "".join(_rule(_y_log(v, low, top), f"{v:g} ms") for v in values if low <= v <= top)


def _rule(y: float, label: str) -> str:
    line = f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return f'{line}<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'


def _round_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= raw)


def _nines(percentile: float) -> float:
    return -math.log10(1.0 - percentile / 100.0)


def _x(value: float, last: float) -> float:
    return _LEFT + (value / last) * (_WIDTH - _LEFT - 34)


def _y(value: float, top: float) -> float:
    return 10 + (1 - value / top) * (_HEIGHT - _BOTTOM - 10)


def _y_log(value: float, low: float, top: float) -> float:
    return _y(math.log(value / low), math.log(top / low))


def _svg(inner: str, label: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{inner}</svg>'
