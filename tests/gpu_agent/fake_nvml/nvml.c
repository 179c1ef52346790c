/* A scripted libnvidia-ml.so.1 for tests: every answer comes from the file named by FAKE_NVML_SCENARIO.
 *
 * The file holds lines key=value and is read again when its modification time changes. A key is looked up for the
 * device first ("3.power", or "3.mig.1.memory_used" for a MIG instance) and for all of them then ("power").
 *   value      620            a constant (a number or a text)
 *              5,6,7@1000     a series: the next step every 1000 ms, the last one stays
 *              +100:2.5       a counter: 100 at the start, 2.5 more each second
 *   errors     3.!nvmlDeviceGetPowerUsage=15, 1.!*=15, !nvmlInit=9
 *   latency    3.latency_us.nvmlDeviceGetPowerUsage=20000, 3.latency_us.*=5000000
 *   events     event.0=800:5:8:79         after 800 ms, GPU 5, event type 8, XID 79
 *   processes  3.process.0=1234:8000000   pid : bytes; on a MIG instance under its own prefix
 * A reading without a key is NOT_SUPPORTED. Time runs from the loading of the library.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef unsigned int u32;
typedef unsigned long long u64;
enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, TIMEOUT = 10, MISMATCH = 25 };
enum { GPUS = 64, MIGS = 8, ENTRIES = 4096, EVENTS = 64, NOTHING = 0xFFFFFFFF };

typedef struct { int gpu, mig; } device;
typedef struct { char *key, *value; } entry;
static device devices[GPUS][MIGS + 1]; /* [gpu][0] is the GPU itself, [gpu][1 + i] its MIG instance i */
static entry entries[ENTRIES];
static int entry_count, faults, events, initialised, delivered[EVENTS]; /* faults, events: how many entries */
static struct timespec scenario_time, born, checked;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static double since(struct timespec from) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - from.tv_sec) + (double)(now.tv_nsec - from.tv_nsec) / 1e9;
}

static int by_key(const void *a, const void *b) { return strcmp(((const entry *)a)->key, ((const entry *)b)->key); }

static void load(void) {
    const char *path = getenv("FAKE_NVML_SCENARIO");
    struct stat st;
    char line[512];
    FILE *file;
    if (entry_count && since(checked) < 0.02) return;
    clock_gettime(CLOCK_MONOTONIC, &checked);
    if (!path || stat(path, &st) || !memcmp(&st.st_mtim, &scenario_time, sizeof scenario_time) || !(file = fopen(path, "r"))) return;
    scenario_time = st.st_mtim;
    for (int i = 0; i < entry_count; i++) free(entries[i].key);
    entry_count = faults = events = 0;
    while (entry_count < ENTRIES && fgets(line, sizeof line, file)) {
        char *equals = strchr(line, '=');
        line[strcspn(line, "\n")] = 0;
        if (!equals) continue;
        entries[entry_count].key = strdup(line);
        entries[entry_count].key[equals - line] = 0;
        entries[entry_count].value = entries[entry_count].key + (equals - line) + 1;
        faults += strchr(line, '!') != NULL || strstr(line, "latency_us") != NULL;
        events += !strncmp(line, "event.", 6);
        entry_count++;
    }
    fclose(file);
    qsort(entries, (size_t)entry_count, sizeof(entry), by_key);
}

__attribute__((constructor)) static void birth(void) {
    clock_gettime(CLOCK_MONOTONIC, &born);
    for (int g = 0; g < GPUS; g++)
        for (int m = 0; m <= MIGS; m++) devices[g][m] = (device){g, m - 1};
}

static int find(const char *key, char *out, size_t size) {
    entry wanted = {(char *)key, NULL}, *hit = bsearch(&wanted, entries, (size_t)entry_count, sizeof(entry), by_key);
    if (hit) snprintf(out, size, "%s", hit->value);
    return hit != NULL;
}

/* The text for a key of a device, without evaluation. */
static int text(const device *d, const char *key, char *out, size_t size) {
    char full[256];
    int found;
    pthread_mutex_lock(&lock);
    load();
    if (d && d->mig >= 0) snprintf(full, sizeof full, "%d.mig.%d.%s", d->gpu, d->mig, key);
    else if (d) snprintf(full, sizeof full, "%d.%s", d->gpu, key);
    found = d && find(full, out, size);
    if (!found && !(d && d->mig >= 0)) found = find(key, out, size); /* a MIG instance inherits nothing */
    pthread_mutex_unlock(&lock);
    return found;
}

static int number(const device *d, const char *key, double *out) {
    char raw[512], *at, *save = NULL, *item;
    if (!text(d, key, raw, sizeof raw)) return NOT_SUPPORTED;
    if (raw[0] == '+') {
        at = strchr(raw, ':');
        *out = atof(raw + 1) + (at ? atof(at + 1) * since(born) : 0);
        return OK;
    }
    at = strchr(raw, '@');
    if (!at) {
        *out = strtod(raw, NULL);
        return OK;
    }
    *at = 0;
    long step = (long)(since(born) * 1000.0 / atof(at + 1));
    for (item = strtok_r(raw, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        *out = atof(item);
        if (step-- <= 0) break;
    }
    return OK;
}

/* What every call does first: the latency, then the error that the scenario asks for. */
static int enter(const device *d, const char *function) {
    char key[160];
    double value;
    int here = (d != NULL);
    const device gpu = here ? (device){d->gpu, -1} : (device){0, -1};
    if (here && !initialised) return UNINITIALIZED;
    pthread_mutex_lock(&lock);
    load();
    pthread_mutex_unlock(&lock);
    if (!faults) return OK;
    const char *names[] = {function, "*"};
    for (int i = 0; i < (here ? 2 : 1); i++) {
        snprintf(key, sizeof key, "latency_us.%s", names[i]);
        if (number(here ? &gpu : NULL, key, &value) == OK) usleep((useconds_t)value);
    }
    for (int i = 0; i < (here ? 2 : 1); i++) {
        snprintf(key, sizeof key, "!%s", names[i]);
        if (number(here ? &gpu : NULL, key, &value) == OK) return (int)value;
    }
    if (here && !initialised) return UNINITIALIZED;
    return OK;
}

static int get_u32(const device *d, const char *key, u32 *out) {
    double value;
    int rc = number(d, key, &value);
    if (rc == OK) *out = value < 0 ? (u32)(int)value : (u32)value;
    return rc;
}

static int get_u64(const device *d, const char *key, u64 *out) {
    double value;
    int rc = number(d, key, &value);
    if (rc == OK) *out = (u64)value;
    return rc;
}

static int get_text(const device *d, const char *key, char *out, u32 size) { return text(d, key, out, size) ? OK : NOT_SUPPORTED; }

#define ENTER(d, function) do { int rc_ = enter(d, function); if (rc_) return rc_; } while (0)
#define NEED(expression) do { int rc_ = (expression); if (rc_) return rc_; } while (0)
#define U32(function, key) int function(device *d, u32 *out) { ENTER(d, #function); return get_u32(d, key, out); }
#define TEXT(function, key) int function(device *d, char *out, u32 size) { ENTER(d, #function); return get_text(d, key, out, size); }

/* Library and system */
static int start(void) {
    ENTER(NULL, "nvmlInit");
    initialised++;
    return OK;
}
int nvmlInitWithFlags(u32 flags) { (void)flags; return start(); }
int nvmlInit_v2(void) { return start(); }
int nvmlShutdown(void) {
    if (!initialised) return UNINITIALIZED;
    initialised--;
    return OK;
}
const char *nvmlErrorString(int code) { (void)code; return "scripted error"; }
#define SYSTEM_TEXT(function, key) int function(char *out, u32 size) { ENTER(NULL, #function); if (!initialised) return UNINITIALIZED; return get_text(NULL, key, out, size); }
SYSTEM_TEXT(nvmlSystemGetDriverVersion, "driver_version")
SYSTEM_TEXT(nvmlSystemGetNVMLVersion, "nvml_version")
int nvmlSystemGetCudaDriverVersion(int *out) { if (!initialised) return UNINITIALIZED; return get_u32(NULL, "cuda_version", (u32 *)out); }
int nvmlSystemGetCudaDriverVersion_v2(int *out) { return nvmlSystemGetCudaDriverVersion(out); }
int nvmlDeviceGetCount_v2(u32 *out) {
    ENTER(NULL, "nvmlDeviceGetCount_v2");
    if (!initialised) return UNINITIALIZED;
    return get_u32(NULL, "gpu_count", out);
}

/* Finding devices. "order" lets a test shift indexes, as a lost GPU does: order.0=1 makes index 0 the GPU 1. */
int nvmlDeviceGetHandleByIndex_v2(u32 index, device **out) {
    u32 count, physical = index;
    char key[32];
    NEED(nvmlDeviceGetCount_v2(&count));
    if (index >= count || index >= GPUS) return INVALID;
    snprintf(key, sizeof key, "order.%u", index);
    get_u32(NULL, key, &physical);
    ENTER(&devices[physical % GPUS][0], "nvmlDeviceGetHandleByIndex_v2");
    *out = &devices[physical % GPUS][0];
    return OK;
}
static int by_text(const char *key, const char *wanted, device **out) {
    char value[96];
    for (int g = 0; g < GPUS; g++)
        if (text(&devices[g][0], key, value, sizeof value) && !strcmp(value, wanted)) {
            *out = &devices[g][0];
            return OK;
        }
    return NOT_FOUND;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, device **out) { return initialised ? by_text("uuid", uuid, out) : UNINITIALIZED; }
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, device **out) { return initialised ? by_text("pci_bus_id", bus, out) : UNINITIALIZED; }
int nvmlDeviceGetIndex(device *d, u32 *out) {
    ENTER(d, "nvmlDeviceGetIndex");
    if (get_u32(d, "index", out)) *out = (u32)d->gpu;
    return OK;
}

/* Identity */
TEXT(nvmlDeviceGetUUID, "uuid")
TEXT(nvmlDeviceGetName, "name")
TEXT(nvmlDeviceGetSerial, "serial")
TEXT(nvmlDeviceGetVbiosVersion, "vbios_version")
U32(nvmlDeviceGetArchitecture, "architecture")
U32(nvmlDeviceGetNumGpuCores, "cores")
U32(nvmlDeviceGetMemoryBusWidth, "memory_bus_width")
U32(nvmlDeviceGetNumaNodeId, "numa_node")
U32(nvmlDeviceGetBrand, "brand")
U32(nvmlDeviceGetPersistenceMode, "persistence_mode")
U32(nvmlDeviceGetComputeMode, "compute_mode")
U32(nvmlDeviceGetFanSpeed, "fan_speed")
U32(nvmlDeviceGetPerformanceState, "pstate")
typedef struct { char legacy[16]; u32 domain, bus, dev, device_id, subsystem_id; char bus_id[32]; } pci_info;
int nvmlDeviceGetPciInfo_v3(device *d, pci_info *out) {
    ENTER(d, "nvmlDeviceGetPciInfo_v3");
    memset(out, 0, sizeof *out);
    NEED(get_text(d, "pci_bus_id", out->bus_id, sizeof out->bus_id));
    sscanf(out->bus_id, "%x:%x:%x", &out->domain, &out->bus, &out->dev);
    snprintf(out->legacy, sizeof out->legacy, "%04x:%02x:%02x.0", out->domain & 0xFFFF, out->bus & 0xFF, out->dev & 0xFF);
    get_u32(d, "pci_device_id", &out->device_id);
    return OK;
}
static int topology(device *a, device *b, const char *what, u32 *out) {
    char key[48];
    snprintf(key, sizeof key, "%s.%d", what, b->gpu);
    return get_u32(a, key, out) == OK ? OK : get_u32(NULL, what, out);
}
int nvmlDeviceGetTopologyCommonAncestor(device *a, device *b, u32 *out) {
    ENTER(a, "nvmlDeviceGetTopologyCommonAncestor");
    return topology(a, b, "topology", out);
}
int nvmlDeviceGetP2PStatus(device *a, device *b, u32 kind, u32 *out) {
    ENTER(a, "nvmlDeviceGetP2PStatus");
    (void)kind;
    return topology(a, b, "p2p", out);
}

/* Fast readings */
typedef struct { u32 gpu, memory; } utilization;
int nvmlDeviceGetUtilizationRates(device *d, utilization *out) {
    ENTER(d, "nvmlDeviceGetUtilizationRates");
    if (d->mig >= 0) return NOT_SUPPORTED;
    NEED(get_u32(d, "utilization", &out->gpu));
    return get_u32(d, "memory_utilization", &out->memory);
}
static int codec(device *d, const char *key, u32 *out, u32 *period) { *period = 1000000; return get_u32(d, key, out); }
int nvmlDeviceGetEncoderUtilization(device *d, u32 *out, u32 *period) { ENTER(d, "nvmlDeviceGetEncoderUtilization"); return codec(d, "encoder_utilization", out, period); }
int nvmlDeviceGetDecoderUtilization(device *d, u32 *out, u32 *period) { ENTER(d, "nvmlDeviceGetDecoderUtilization"); return codec(d, "decoder_utilization", out, period); }
typedef struct { u64 total, free, used; } memory_v1;
typedef struct { u32 version; u64 total, reserved, free, used; } memory_v2;
static int memory(device *d, memory_v2 *out) {
    out->reserved = 0;
    NEED(get_u64(d, "memory_total", &out->total));
    NEED(get_u64(d, "memory_used", &out->used));
    get_u64(d, "memory_reserved", &out->reserved);
    out->free = out->total - out->reserved - out->used;
    return OK;
}
int nvmlDeviceGetMemoryInfo(device *d, memory_v1 *out) { /* version 1 counts the reserve as used */
    memory_v2 m;
    ENTER(d, "nvmlDeviceGetMemoryInfo");
    NEED(memory(d, &m));
    *out = (memory_v1){m.total, m.free, m.used + m.reserved};
    return OK;
}
int nvmlDeviceGetMemoryInfo_v2(device *d, memory_v2 *out) {
    ENTER(d, "nvmlDeviceGetMemoryInfo_v2");
    return out->version == 0x02000028 ? memory(d, out) : MISMATCH;
}
int nvmlDeviceGetBAR1MemoryInfo(device *d, memory_v1 *out) {
    ENTER(d, "nvmlDeviceGetBAR1MemoryInfo");
    NEED(get_u64(d, "bar1_total", &out->total));
    NEED(get_u64(d, "bar1_used", &out->used));
    out->free = out->total - out->used;
    return OK;
}
U32(nvmlDeviceGetPowerUsage, "power")
U32(nvmlDeviceGetEnforcedPowerLimit, "power_limit")
U32(nvmlDeviceGetPowerManagementLimit, "power_limit")
int nvmlDeviceGetTotalEnergyConsumption(device *d, u64 *out) { ENTER(d, "nvmlDeviceGetTotalEnergyConsumption"); return get_u64(d, "energy", out); }
static int indexed(device *d, const char *key, u32 index, u32 *out) {
    char full[64];
    snprintf(full, sizeof full, "%s.%u", key, index);
    return get_u32(d, full, out);
}
#define INDEXED(function, key) int function(device *d, u32 index, u32 *out) { ENTER(d, #function); return indexed(d, key, index, out); }
INDEXED(nvmlDeviceGetClockInfo, "clock")
INDEXED(nvmlDeviceGetMaxClockInfo, "clock_max")
INDEXED(nvmlDeviceGetTemperature, "temperature")
INDEXED(nvmlDeviceGetTemperatureThreshold, "threshold")
typedef struct { u32 version, sensor; int celsius; } temperature_v1;
int nvmlDeviceGetTemperatureV(device *d, temperature_v1 *out) {
    ENTER(d, "nvmlDeviceGetTemperatureV");
    return indexed(d, "temperature", out->sensor, (u32 *)&out->celsius);
}
int nvmlDeviceGetCurrentClocksEventReasons(device *d, u64 *out) { ENTER(d, "nvmlDeviceGetCurrentClocksEventReasons"); return get_u64(d, "clock_reasons", out); }
int nvmlDeviceGetCurrentClocksThrottleReasons(device *d, u64 *out) { ENTER(d, "nvmlDeviceGetCurrentClocksThrottleReasons"); return get_u64(d, "clock_reasons", out); }
typedef struct { u64 reference, violation; } violation_time;
int nvmlDeviceGetViolationStatus(device *d, u32 policy, violation_time *out) {
    char key[64];
    ENTER(d, "nvmlDeviceGetViolationStatus");
    snprintf(key, sizeof key, "violation.%u", policy);
    out->reference = (u64)(since(born) * 1e9);
    return get_u64(d, key, &out->violation);
}

/* Fields: "field.83" or "field.138.4" (with a scope); field_type.82=5 changes the union member, an integer by default. */
typedef struct { u32 id, scope; int64_t time, latency; u32 type; int rc; union { double d; u64 u; int64_t s; int i; u32 n; } value; } field_value;
int nvmlDeviceGetFieldValues(device *d, int count, field_value *values) {
    ENTER(d, "nvmlDeviceGetFieldValues");
    for (int i = 0; i < count; i++) {
        char key[64], type[64];
        double value;
        u32 kind = 3;
        snprintf(key, sizeof key, values[i].scope ? "field.%u.%u" : "field.%u", values[i].id, values[i].scope);
        snprintf(type, sizeof type, "field_type.%u", values[i].id);
        values[i].rc = number(d, key, &value);
        values[i].value.u = 0xDEADBEEFull; /* a driver leaves garbage beside an error */
        get_u32(NULL, type, &kind);
        values[i].type = kind;
        if (values[i].rc) continue;
        if (kind == 0) values[i].value.d = value;
        else if (kind == 5) values[i].value.i = (int)value;
        else if (kind == 1) values[i].value.n = (u32)value;
        else values[i].value.u = (u64)value;
    }
    return OK;
}

/* Errors and links */
int nvmlDeviceGetTotalEccErrors(device *d, u32 kind, u32 scope, u64 *out) {
    char key[64];
    ENTER(d, "nvmlDeviceGetTotalEccErrors");
    snprintf(key, sizeof key, "ecc.%u.%u", kind, scope);
    return get_u64(d, key, out);
}
int nvmlDeviceGetRemappedRows(device *d, u32 *corrected, u32 *uncorrected, u32 *pending, u32 *failed) {
    ENTER(d, "nvmlDeviceGetRemappedRows");
    NEED(get_u32(d, "rows.corrected", corrected));
    NEED(get_u32(d, "rows.uncorrected", uncorrected));
    NEED(get_u32(d, "rows.pending", pending));
    return get_u32(d, "rows.failed", failed);
}
U32(nvmlDeviceGetPcieReplayCounter, "pcie_replay")
U32(nvmlDeviceGetCurrPcieLinkGeneration, "pcie_generation")
U32(nvmlDeviceGetMaxPcieLinkGeneration, "pcie_generation_max")
U32(nvmlDeviceGetCurrPcieLinkWidth, "pcie_width")
U32(nvmlDeviceGetMaxPcieLinkWidth, "pcie_width_max")
int nvmlDeviceGetPcieThroughput(device *d, u32 counter, u32 *out) { /* blocks, as the real one does */
    ENTER(d, "nvmlDeviceGetPcieThroughput");
    usleep(20000);
    return indexed(d, "pcie_throughput", counter, out);
}

/* Processes */
typedef struct { u32 pid; u64 memory; u32 gi, ci; } process;
static int processes(device *d, const char *kind, u32 *count, process *out) {
    char key[64], raw[128];
    u32 found = 0, room = *count;
    for (;; found++) {
        snprintf(key, sizeof key, "%s.%u", kind, found);
        if (!text(d, key, raw, sizeof raw)) break;
        if (out && found < room) {
            char *colon = strchr(raw, ':');
            out[found] = (process){(u32)atoi(raw), colon ? strtoull(colon + 1, NULL, 10) : ~0ull, NOTHING, NOTHING};
            if (d->mig >= 0) { get_u32(d, "gi", &out[found].gi); get_u32(d, "ci", &out[found].ci); }
        }
    }
    *count = found;
    return found > room || (found && !out) ? TOO_SMALL : OK;
}
#define PROCESSES(function, key) int function(device *d, u32 *count, process *out) { ENTER(d, #function); return processes(d, key, count, out); }
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v3, "process")
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v2, "process")
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v3, "graphics_process")
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v2, "graphics_process")
PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses_v3, "mps_process")
typedef struct { u32 pid; u64 time; u32 sm, memory, encoder, decoder; } process_sample;
int nvmlDeviceGetProcessUtilization(device *d, process_sample *out, u32 *count, u64 last_seen) {
    char key[64], raw[128];
    u32 found = 0, room = *count;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    (void)last_seen;
    ENTER(d, "nvmlDeviceGetProcessUtilization");
    if (d->mig >= 0) return NOT_SUPPORTED;
    for (;; found++) { /* process_sample.0=pid:sm:memory:encoder:decoder */
        snprintf(key, sizeof key, "process_sample.%u", found);
        if (!text(d, key, raw, sizeof raw)) break;
        if (!out || found >= room) continue;
        process_sample s = {0};
        sscanf(raw, "%u:%u:%u:%u:%u", &s.pid, &s.sm, &s.memory, &s.encoder, &s.decoder);
        s.time = (u64)now.tv_sec * 1000000ull + (u64)now.tv_nsec / 1000;
        out[found] = s;
    }
    *count = found;
    return found && !out ? TOO_SMALL : OK;
}

/* MIG: 0.mig_mode=1, 0.mig.0.uuid=..., .gi, .ci, .profile parts; an index without a uuid is a hole, as in the driver. */
int nvmlDeviceGetMigMode(device *d, u32 *current, u32 *pending) {
    ENTER(d, "nvmlDeviceGetMigMode");
    NEED(get_u32(d, "mig_mode", current));
    *pending = *current;
    return OK;
}
int nvmlDeviceGetMaxMigDeviceCount(device *d, u32 *out) { ENTER(d, "nvmlDeviceGetMaxMigDeviceCount"); *out = MIGS - 1; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(device *d, u32 index, device **out) {
    char uuid[96];
    ENTER(d, "nvmlDeviceGetMigDeviceHandleByIndex");
    if (index >= MIGS) return INVALID;
    *out = &devices[d->gpu][index + 1];
    return text(*out, "uuid", uuid, sizeof uuid) ? OK : NOT_FOUND;
}
int nvmlDeviceIsMigDeviceHandle(device *d, u32 *out) { *out = d->mig >= 0; return OK; }
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device *d, device **out) { *out = &devices[d->gpu][0]; return OK; }
U32(nvmlDeviceGetGpuInstanceId, "gi")
U32(nvmlDeviceGetComputeInstanceId, "ci")
typedef struct { u32 sms, copy, decoder, encoder, jpeg, ofa, gpu_slices, compute_slices; u64 memory_mb; } attributes;
int nvmlDeviceGetAttributes_v2(device *d, attributes *out) {
    ENTER(d, "nvmlDeviceGetAttributes_v2");
    memset(out, 0, sizeof *out);
    NEED(get_u32(d, "gpu_slices", &out->gpu_slices));
    get_u32(d, "compute_slices", &out->compute_slices);
    get_u32(d, "sms", &out->sms);
    return get_u64(d, "memory_mb", &out->memory_mb);
}

/* GPM: gpm.2=55 (percent, or MiB/s for the traffic metrics) */
typedef struct { device *from; double at; } sample;
typedef struct { u32 version, supported; } gpm_support;
int nvmlGpmQueryDeviceSupport(device *d, gpm_support *out) {
    ENTER(d, "nvmlGpmQueryDeviceSupport");
    if (get_u32(d, "gpm", &out->supported)) out->supported = 0;
    return OK;
}
int nvmlGpmSampleAlloc(sample **out) { *out = calloc(1, sizeof(sample)); return OK; }
int nvmlGpmSampleFree(sample *s) { free(s); return OK; }
int nvmlGpmSampleGet(device *d, sample *s) {
    ENTER(d, "nvmlGpmSampleGet");
    *s = (sample){d, since(born)};
    return OK;
}
int nvmlGpmMigSampleGet(device *d, u32 gi, sample *s) {
    ENTER(d, "nvmlGpmMigSampleGet");
    for (int m = 1; m <= MIGS; m++) {
        u32 id;
        if (get_u32(&devices[d->gpu][m], "gi", &id) == OK && id == gi) {
            *s = (sample){&devices[d->gpu][m], since(born)};
            return OK;
        }
    }
    return NOT_FOUND;
}
typedef struct { u32 id; int rc; double value; char *info[3]; } gpm_metric;
typedef struct { u32 version, count; sample *first, *second; gpm_metric metrics[]; } gpm_metrics;
int nvmlGpmMetricsGet(gpm_metrics *get) {
    char key[32];
    if (get->version != 1) return MISMATCH;
    if (!get->second->from || get->second->at <= get->first->at) return INVALID;
    ENTER(get->second->from, "nvmlGpmMetricsGet");
    for (u32 i = 0; i < get->count; i++) {
        snprintf(key, sizeof key, "gpm.%u", get->metrics[i].id);
        get->metrics[i].rc = number(get->second->from, key, &get->metrics[i].value);
    }
    return OK;
}

/* Events */
typedef struct { device *from; u64 type, data; u32 gi, ci; } event_data;
typedef struct { u64 types[GPUS]; } event_set;
int nvmlEventSetCreate(event_set **out) { *out = calloc(1, sizeof(event_set)); return initialised ? OK : UNINITIALIZED; }
int nvmlEventSetFree(event_set *set) { free(set); return OK; }
int nvmlDeviceGetSupportedEventTypes(device *d, u64 *out) {
    ENTER(d, "nvmlDeviceGetSupportedEventTypes");
    if (get_u64(d, "event_types", out)) *out = 0x1 | 0x2 | 0x8;
    return OK;
}
int nvmlDeviceRegisterEvents(device *d, u64 types, event_set *set) {
    u64 supported;
    ENTER(d, "nvmlDeviceRegisterEvents");
    nvmlDeviceGetSupportedEventTypes(d, &supported);
    if (types & ~supported) return NOT_SUPPORTED;
    set->types[d->gpu] = types;
    return OK;
}
int nvmlEventSetWait_v2(event_set *set, event_data *out, u32 timeout_ms) {
    struct timespec entered;
    clock_gettime(CLOCK_MONOTONIC, &entered);
    do {
        ENTER(NULL, "nvmlEventSetWait_v2");
        if (!initialised) return UNINITIALIZED;
        for (int i = 0; events && i < EVENTS; i++) {
            char key[32], raw[128];
            double ms;
            int gpu;
            u64 type, data;
            u32 gi = NOTHING, ci = NOTHING;
            snprintf(key, sizeof key, "event.%d", i);
            if (delivered[i] || !text(NULL, key, raw, sizeof raw)) continue;
            if (sscanf(raw, "%lf:%d:%llu:%llu:%u:%u", &ms, &gpu, &type, &data, &gi, &ci) < 4) continue;
            if (since(born) * 1000 < ms || gpu < 0 || gpu >= GPUS || !(set->types[gpu] & type)) continue;
            delivered[i] = 1;
            *out = (event_data){&devices[gpu][0], type, data, gi, ci};
            return OK;
        }
        usleep(250000); /* a real driver sleeps in the kernel; this must not cost what is measured */
    } while (since(entered) * 1000 < timeout_ms);
    return TIMEOUT;
}
