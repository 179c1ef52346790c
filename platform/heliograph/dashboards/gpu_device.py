"""One GPU: what it is, all its readings on synchronised charts with events as marks, its processes and its requests."""

from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from heliograph.accounts.models import Project
from heliograph.dashboards import alert_marks, gpu_charts
from heliograph.dashboards.access import project_page
from heliograph.dashboards.charts import over_range
from heliograph.dashboards.failures import explained
from heliograph.dashboards.timerange import chosen_range
from heliograph.query import fleet, gpu_series, gpu_served, placement

# Facts of the resource in the order of the head; what an agent does not tell is left out.
FACTS = (
    ("hw.name", "Model"),
    ("gpu.mig.profile", "MIG profile"),
    ("hw.parent", "Part of"),
    ("gpu.index", "Index"),
    ("gpu.architecture", "Architecture"),
    ("gpu.cores", "Cores"),
    ("gpu.memory.bus_width", "Memory bus, bits"),
    ("gpu.pci.bdf", "PCI address"),
    ("hw.driver_version", "Driver"),
    ("gpu.cuda_version", "CUDA"),
    ("hw.firmware_version", "Firmware"),
    ("hw.serial_number", "Serial number"),
    ("heliograph.agent", "Sent by"),
)
REQUESTS_SHOWN = PROCESSES_SHOWN = 12


@explained
@project_page
def show(request: HttpRequest, project: Project, gpu_uuid: str) -> HttpResponse:
    """Show one GPU over the range."""
    chosen = chosen_range(request)
    device = fleet.device(project.pk, gpu_uuid, chosen.range)
    if device is None:
        raise Http404("the project has no such GPU before the end of this time range")
    questions = gpu_charts.QUESTIONS
    lines = [
        *gpu_series.levels(
            project.pk,
            chosen.range,
            gpu_charts.metrics_of(questions, rate=False),
            gpu_uuid=gpu_uuid,
            host=device.host,
        ),
        *gpu_series.rates(
            project.pk, chosen.range, gpu_charts.metrics_of(questions, rate=True), gpu_uuid=gpu_uuid, host=device.host
        ),
    ]
    events = [
        event
        for event in fleet.events(project.pk, chosen.range, host=device.host, gpu_uuid=gpu_uuid)
        if event.name not in gpu_charts.UNTOLD_EVENTS
    ]
    slow = f"{reverse('gpus-slow', args=[project.slug])}?{urlencode({'gpu': gpu_uuid, 'host': device.host})}"
    drawn = over_range(gpu_charts.gpu_charts(lines), chosen.range, gpu_charts.marks_of(events), slow)
    charts = alert_marks.with_alerts(project, drawn, chosen.range, host=[device.host], gpu=[gpu_uuid])
    siblings = fleet.fleet(project.pk, chosen.range, host=device.host).gpus
    context = {
        "project": project,
        "chosen": chosen,
        "error": chosen.error,
        "device": device,
        "gpu": next((gpu for gpu in siblings if gpu.gpu_uuid == gpu_uuid), None),
        "facts": [(word, device.resource[key]) for key, word in FACTS if device.resource.get(key)],
        "instances": [gpu for gpu in siblings if gpu.parent == gpu_uuid],
        "charts": [chart for chart in charts if not chart.is_empty],
        "absent": [chart for chart in charts if chart.is_empty],
        "events": events[:50],
        "processes": placement.processes(project.pk, chosen.range.start_ns, chosen.range.end_ns, gpu_uuid=gpu_uuid)[
            :PROCESSES_SHOWN
        ],
        "requests": gpu_served.requests_on(project.pk, gpu_uuid, chosen.range, limit=REQUESTS_SHOWN)
        if chosen.range.end - chosen.range.start <= gpu_served.MAX_RANGE
        else None,
        "slow_url": f"{slow}&{chosen.query}",
    }
    return render(request, "dashboards/gpu_device.html", context)
