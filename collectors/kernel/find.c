/* Where the spans of a request are, and the fields of each. */
#include "span.h"

#include <stddef.h>

enum { MAX_KIND = 5 };

static int collect_spans(Request *request, Slice scope_spans, Slice resource) {
    Field field;
    Scope scope = {.resource = resource, .first = request->spans.size / (Py_ssize_t)sizeof(Slice)};
    int ok, seen = 0;
    while ((ok = next_field(&scope_spans, &field)) == 1) {
        if (field.type != BYTES) {
            return -1;
        }
        if (field.number == 2) {
            if (add_bytes(&request->spans, &field.bytes, sizeof field.bytes) < 0) {
                return -1;
            }
            scope.count++;
        } else if (field.number == 1 && !seen++) {
            scope.scope = field.bytes;
        } else if (field.number != 3 || size_of(field.bytes)) {
            return -1; /* the schema's address, and what no version of OTLP has here */
        }
    }
    if (ok == 0 && !scope.count && size_of(resource) + size_of(scope.scope)) {
        return -1; /* nobody would look whether these are sound */
    }
    return ok < 0 ? -1 : add_bytes(&request->scopes, &scope, sizeof scope);
}

static int collect_scopes(Request *request, Slice resource_spans) {
    Field field;
    Slice resource = {0}, rest = resource_spans;
    int ok, seen = 0, scopes = 0;
    while ((ok = next_field(&rest, &field)) == 1) {
        if (field.type != BYTES || (field.number == 1 && seen++) || field.number > 3 ||
            (field.number == 3 && size_of(field.bytes))) {
            return -1;
        }
        if (field.number == 1) {
            resource = field.bytes;
        }
        scopes += field.number == 2;
    }
    if (ok == 0 && !scopes && size_of(resource)) {
        return -1; /* nobody would look whether it is sound */
    }
    while (ok == 0 && next_field(&resource_spans, &field) == 1) {
        if (field.number == 2 && collect_spans(request, field.bytes, resource) < 0) {
            return -1;
        }
    }
    return ok;
}

int collect(Request *request, Slice body) {
    Field field;
    Py_ssize_t resources = 0;
    int ok;
    while ((ok = next_field(&body, &field)) == 1) {
        if (field.number != 1 || field.type != BYTES || ++resources > request->max_spans ||
            collect_scopes(request, field.bytes) < 0) {
            return -1;
        }
    }
    if (request->spans.size / (Py_ssize_t)sizeof(Slice) > request->max_spans ||
        request->scopes.size / (Py_ssize_t)sizeof(Scope) > request->max_spans) {
        return -1;
    }
    return ok;
}

static int read_status(Slice bytes, Span *span) {
    Field field;
    int ok;
    while ((ok = next_field(&bytes, &field)) == 1) {
        if (field.number == 3 && field.type == VARINT && field.value <= 1) {
            span->status = (uint8_t)field.value;
        } else if (field.number != 2 || field.type != BYTES || size_of(field.bytes)) {
            span->by_python = 1;
        }
    }
    return ok;
}

/* The wire type of each field of a span, by its number. */
static const uint8_t TYPES[] = {
    UINT8_MAX, BYTES,  BYTES, BYTES,  BYTES, BYTES,  VARINT, FIXED64, FIXED64,
    BYTES,     VARINT, BYTES, VARINT, BYTES, VARINT, BYTES,  FIXED32,
};

int read_fields(Slice bytes, Span *span) {
    Field field;
    int ok, statuses = 0;
    memset(span, 0, offsetof(Span, attribute));
    span->bytes = bytes;
    while ((ok = next_field(&bytes, &field)) == 1) {
        if (field.number >= sizeof TYPES || field.type != TYPES[field.number]) {
            span->by_python = 1;
            continue;
        }
        switch (field.number) {
        case 1:
            span->trace_id = field.bytes;
            break;
        case 2:
            span->span_id = field.bytes;
            break;
        case 4:
            span->parent = field.bytes;
            break;
        case 5:
            span->name = field.bytes;
            break;
        case 6:
            span->kind = (uint8_t)field.value;
            span->by_python |= field.value > MAX_KIND;
            break;
        case 7:
            span->start = field.value;
            break;
        case 8:
            span->end = field.value;
            break;
        case 9:
            if (span->attributes < MAX_ATTRIBUTES) {
                span->attribute[span->attributes++] = field.bytes;
            } else {
                span->by_python = 1;
            }
            break;
        case 15:
            span->by_python |= statuses++;
            if (read_status(field.bytes, span) < 0) {
                return -1;
            }
            break;
        case 3: /* the state of the trace, events and links */
        case 11:
        case 13:
            span->by_python |= size_of(field.bytes) > 0 || field.number != 3;
        }
    }
    return ok;
}

int is_zero(Slice bytes) {
    while (bytes.at < bytes.end && *bytes.at == 0) {
        bytes.at++;
    }
    return bytes.at == bytes.end;
}

int refusal(const Request *request, const Span *span) {
    if (size_of(span->trace_id) != 16 || is_zero(span->trace_id)) {
        return BAD_TRACE_ID;
    }
    if (size_of(span->span_id) != 8 || is_zero(span->span_id)) {
        return BAD_SPAN_ID;
    }
    return span->start < request->oldest ? TOO_OLD : span->start > request->newest ? TOO_NEW : ACCEPTED;
}
