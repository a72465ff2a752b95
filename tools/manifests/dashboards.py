"""Grafana dashboards from rows of panels."""

from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]

RATE: Final = "[$__rate_interval]"
DATA: Final = {"type": "prometheus", "uid": "${datasource}"}
WIDTH: Final = 24
HEIGHT: Final = 8


@dataclass(frozen=True, slots=True)
class Panel:
    """A time series: PromQL with its legend, in a unit of Grafana's, and what an operator should know of it."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    about: str = ""
    stacked: bool = False


def per_second(metric: str, *by: str, where: str = "") -> tuple[str, str]:
    """Events a second, by labels."""
    return f"sum by ({', '.join(by)}) (rate({metric}{where}{RATE}))", " ".join(f"{{{{{one}}}}}" for one in by)


def quantile(share: float, metric: str, *by: str) -> tuple[str, str]:
    """A quantile of a histogram, by labels."""
    legend = " ".join([f"p{round(100 * share)}", *(f"{{{{{one}}}}}" for one in by)])
    return f"histogram_quantile({share}, sum by ({', '.join(['le', *by])}) (rate({metric}_bucket{RATE})))", legend


def mean(metric: str, by: str) -> tuple[str, str]:
    """The mean of a histogram, by a label."""
    return (
        f"sum by ({by}) (rate({metric}_sum{RATE})) / sum by ({by}) (rate({metric}_count{RATE}))",
        f"{{{{{by}}}}}",
    )


def dashboard(uid: str, title: str, rows: tuple[tuple[Panel, ...], ...]) -> Json:
    """A dashboard as Grafana reads it."""
    panels = [
        _panel(panel, {"x": number * (WIDTH // len(row)), "y": depth * HEIGHT, "w": WIDTH // len(row), "h": HEIGHT})
        for depth, row in enumerate(rows)
        for number, panel in enumerate(row)
    ]
    for number, panel in enumerate(panels, 1):
        panel["id"] = number
    variable = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    return {
        "uid": uid, "title": title, "tags": ["multimood"], "schemaVersion": 39, "editable": True, "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"}, "templating": {"list": [variable]}, "panels": panels,
    }  # fmt: skip


def _panel(panel: Panel, place: Json) -> Json:
    custom = {"fillOpacity": 30, "stacking": {"mode": "normal"}} if panel.stacked else {"fillOpacity": 0}
    return {
        "type": "timeseries", "title": panel.title, "description": panel.about, "datasource": DATA, "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + number), "expr": expression, "legendFormat": legend, "datasource": DATA}
            for number, (expression, legend) in enumerate(panel.queries)
        ],
    }  # fmt: skip
