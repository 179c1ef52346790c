/* Spans to columns. What many spans have in common is worked out by Python once, for the first of them, and kept as a
   template: the row of that span. Of each further span of that template only the columns are made that differ by span:
   ids, times, names, texts, counts of tokens and what they cost. A span that is unlike that is left to Python. */
#include "attributes.h"

#include <stddef.h>

enum { MAX_COLUMNS = 128, MAX_ATTRIBUTES = 256, MAX_NESTING = 20, MAX_SHAPING_BYTES = 200, SPANS_BETWEEN_YIELDS = 256 };
enum { MAX_KIND = 5, MAX_NAME_CHARS = 512, MAX_LABEL_CHARS = 512, MAX_TOKENS_OF_A_PRICE = 10000000 };
#define DAY_NS 86400000000000ull
#define MAX_COUNT 4294967295ll

/* Columns that are made for each span, in the order of `HOT`. */
static const char *const HOT[] = {
    "trace_id",    "span_id",    "parent_span_id", "is_entry",      "start_time", "duration_ns", "name",
    "attributes",  "input",      "input_preview",  "output",        "output_preview", "finish_reason",
    "input_tokens", "output_tokens", "input_cost", "output_cost",   "cost",       "tool_name",
};
enum {
    TRACE_ID, SPAN_ID, PARENT_SPAN_ID, IS_ENTRY, START_TIME, DURATION, NAME, ATTRIBUTES, INPUT_TEXT, INPUT_PREVIEW,
    OUTPUT_TEXT, OUTPUT_PREVIEW, FINISH_REASON, IN_TOKENS, OUT_TOKENS, IN_COST, OUT_COST, COST, TOOL_NAME, HOT_COUNT
};
/* What a template says beside its row. */
enum { NAME_IS_TOOL = 1, REASON_OF_ANSWER = 2 };
/* Why a span is refused, in the order of `collectors.otlp.fast.REFUSALS`. */
enum { ACCEPTED = -1, BAD_TRACE_ID, BAD_SPAN_ID, TOO_OLD, TOO_NEW, REFUSALS };

typedef struct {
    PyObject_HEAD
    PyObject *classify;
    PyObject *templates;
    Keys keys;
    Py_ssize_t columns;
    Py_ssize_t hot[HOT_COUNT];
} Reader;

typedef struct {
    Slice resource, scope;
    PyObject *base;
    Py_ssize_t first, count;
} Scope;

/* One request on its way. */
typedef struct {
    Reader *reader;
    PyObject *make_base;
    PyObject *read_span;
    PyObject *check_span;
    Caps caps;
    uint64_t oldest, newest;
    Py_ssize_t max_spans;
    Buffer scopes;
    Buffer spans;
    PyObject *columns[MAX_COLUMNS];
    Py_ssize_t rows;
    long refused[REFUSALS];
    PyObject *long_rows;
    Buffer template_key;
} Request;

typedef struct {
    Slice bytes, trace_id, span_id, parent, name;
    uint64_t start, end;
    Py_ssize_t attributes;
    uint8_t kind, status;
    int by_python;
    Slice attribute[MAX_ATTRIBUTES]; /* last: not cleared */
} Span;

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

/* Find the spans; -1 without an exception for a body that protobuf's own parser has to judge. */
static int collect(Request *request, Slice body) {
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

/* Read the fields of a span; -1 for one that is no message. */
static int read_fields(Slice bytes, Span *span) {
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

static int is_zero(Slice bytes) {
    while (bytes.at < bytes.end && *bytes.at == 0) {
        bytes.at++;
    }
    return bytes.at == bytes.end;
}

static int refusal(const Request *request, const Span *span) {
    if (size_of(span->trace_id) != 16 || is_zero(span->trace_id)) {
        return BAD_TRACE_ID;
    }
    if (size_of(span->span_id) != 8 || is_zero(span->span_id)) {
        return BAD_SPAN_ID;
    }
    return span->start < request->oldest ? TOO_OLD : span->start > request->newest ? TOO_NEW : ACCEPTED;
}

/* Put a new reference into a column's row. */
static void put(Request *request, Py_ssize_t column, PyObject *value) {
    PyObject *before = PyList_GET_ITEM(request->columns[column], request->rows);
    PyList_SET_ITEM(request->columns[column], request->rows, value);
    Py_XDECREF(before);
}

static int put_row(Request *request, PyObject *row) {
    if (!PyTuple_CheckExact(row) || PyTuple_GET_SIZE(row) != request->reader->columns) {
        PyErr_SetString(PyExc_TypeError, "a row must be a tuple with a value a column");
        return -1;
    }
    for (Py_ssize_t column = 0; column < request->reader->columns; column++) {
        put(request, column, Py_NewRef(PyTuple_GET_ITEM(row, column)));
    }
    return 0;
}

static int put_hot(Request *request, int hot, PyObject *value) {
    if (value == NULL) {
        return -1;
    }
    put(request, request->reader->hot[hot], value);
    return 0;
}

static PyObject *hex(Slice bytes) {
    static const char digits[] = "0123456789abcdef";
    PyObject *text = PyUnicode_New(2 * size_of(bytes), 127);
    if (text != NULL) {
        Py_UCS1 *out = PyUnicode_1BYTE_DATA(text);
        for (; bytes.at < bytes.end; bytes.at++) {
            *out++ = (Py_UCS1)digits[*bytes.at >> 4];
            *out++ = (Py_UCS1)digits[*bytes.at & 15];
        }
    }
    return text;
}

/* A label as it came: no blanks around it, nothing beyond ASCII, and nothing that may be JSON. */
static int is_label(const Value *value) {
    if (value->kind != 1 || !PyUnicode_IS_COMPACT_ASCII(value->text)) {
        return 0;
    }
    Py_ssize_t size = PyUnicode_GET_LENGTH(value->text);
    const Py_UCS1 *text = PyUnicode_1BYTE_DATA(value->text);
    return size > 0 && size <= MAX_LABEL_CHARS && text[0] > ' ' && text[size - 1] > ' ' && text[0] != '"' &&
           text[0] != '[' && text[0] != '{';
}

/* What was read of a span by its attributes. `column` of a label is its place among `columns`. */
typedef struct {
    PyObject *texts;
    PyObject *input, *output;
    int64_t tokens[2];
    int has_tokens[2];
    int is_long;
    int labels;
    struct {
        Py_ssize_t column;
        PyObject *text;
    } label[8];
} Meaning;

static int take(Meaning *meaning, Key *key, const Value *value) {
    switch (key->class) {
    case UNMAPPED:
    case SHAPING:
        return 1;
    case INPUT:
    case OUTPUT: {
        PyObject **into = key->class == INPUT ? &meaning->input : &meaning->output;
        if (value->kind != 1 || *into != NULL) {
            return 0;
        }
        *into = value->text; /* the dictionary of texts owns it */
        return 1;
    }
    case INPUT_TOKENS:
    case OUTPUT_TOKENS: {
        int which = key->class == OUTPUT_TOKENS;
        if (value->kind != 3 || value->number < 0 || value->number > MAX_COUNT || meaning->has_tokens[which]) {
            return 0;
        }
        meaning->has_tokens[which] = 1;
        meaning->tokens[which] = value->number;
        return 1;
    }
    case BY_PYTHON:
        return 0;
    default:
        if (!is_label(value)) {
            return 0;
        }
        if (key->class == NAMELESS) {
            return 1;
        }
        for (int place = 0; place < meaning->labels; place++) {
            if (meaning->label[place].column == key->class - FIRST_LABEL) {
                return 0;
            }
        }
        if (meaning->labels == 8) {
            return 0;
        }
        meaning->label[meaning->labels].column = key->class - FIRST_LABEL;
        meaning->label[meaning->labels++].text = value->text;
        return 1;
    }
}

/* Read one attribute: 1, 0 for a span that Python must read, -1 as `read_value`. */
static int read_attribute(Request *request, Slice pair, Meaning *meaning) {
    Field field;
    Slice key_bytes = {0}, value_bytes = {0};
    int ok, keys = 0, values = 0;
    while ((ok = next_field(&pair, &field)) == 1) {
        if (field.type == BYTES && field.number == 1 && !keys++) {
            key_bytes = field.bytes;
        } else if (field.type == BYTES && field.number == 2 && !values++) {
            value_bytes = field.bytes;
        } else {
            return 0;
        }
    }
    if (ok < 0) {
        return -1;
    }
    if (size_of(key_bytes) > request->caps.max_key_chars) {
        return 0;
    }
    Key *key = find_key(&request->reader->keys, key_bytes, request->reader->classify);
    if (key == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    Value value;
    if ((ok = read_value(value_bytes, &request->caps, &value)) != 1) {
        return ok;
    }
    meaning->is_long |= value.is_long;
    ok = PyDict_GET_SIZE(meaning->texts);
    if (PyDict_SetItem(meaning->texts, key->text, value.text) < 0) {
        Py_DECREF(value.text);
        return -1;
    }
    /* A key that comes twice is for Python. */
    ok = PyDict_GET_SIZE(meaning->texts) > ok ? take(meaning, key, &value) : 0;
    if (ok == 1 && key->class != UNMAPPED) {
        uint32_t head[2] = {key->number, value.kind};
        Py_ssize_t size = key->class == SHAPING ? size_of(value_bytes) : 0;
        if (size > MAX_SHAPING_BYTES) {
            ok = 0;
        } else if (add_bytes(&request->template_key, head, sizeof head) < 0 ||
                   add_bytes(&request->template_key, &size, sizeof size) < 0 ||
                   add_bytes(&request->template_key, value_bytes.at, size) < 0) {
            ok = -1;
        }
    }
    Py_DECREF(value.text);
    return ok;
}

static int read_attributes(Request *request, const Span *span, uint64_t serial, Meaning *meaning) {
    struct {
        uint64_t serial, day;
        uint8_t kind, status, filled[6];
    } head = {serial, span->start / DAY_NS, span->kind, span->status, {0}};
    memset(meaning, 0, sizeof *meaning);
    meaning->texts = PyDict_New();
    request->template_key.size = 0;
    if (meaning->texts == NULL || add_bytes(&request->template_key, &head, sizeof head) < 0) {
        return -1;
    }
    if (span->attributes > request->caps.max_attributes) {
        return 0;
    }
    for (Py_ssize_t place = 0; place < span->attributes; place++) {
        int ok = read_attribute(request, span->attribute[place], meaning);
        if (ok != 1) {
            return ok;
        }
    }
    return 1;
}

static int put_ids(Request *request, const Span *span) {
    Slice parent = span->parent;
    if (size_of(parent) != 8 || is_zero(parent) || !memcmp(parent.at, span->span_id.at, 8)) {
        parent.at = parent.end; /* a span that names itself its parent has none */
    }
    PyObject *duration = span->end == 0 ? Py_NewRef(Py_None)
                                        : PyLong_FromUnsignedLongLong(span->end > span->start ? span->end - span->start : 0);
    return put_hot(request, TRACE_ID, hex(span->trace_id)) < 0 || put_hot(request, SPAN_ID, hex(span->span_id)) < 0 ||
                   put_hot(request, PARENT_SPAN_ID, hex(parent)) < 0 ||
                   put_hot(request, IS_ENTRY, PyBool_FromLong(!size_of(parent))) < 0 ||
                   put_hot(request, START_TIME, PyLong_FromUnsignedLongLong(span->start)) < 0 ||
                   put_hot(request, DURATION, duration) < 0
               ? -1
               : 0;
}

/* 1, 0 where Python must read the messages, -1. */
static int put_messages(Request *request, PyObject *text, int is_answer, long flags) {
    Py_ssize_t size;
    const char *bytes = PyUnicode_AsUTF8AndSize(text, &size);
    Said said;
    if (bytes == NULL) {
        return -1;
    }
    int ok = read_messages(bytes, size, is_answer, &said);
    if (ok != 1) {
        return ok;
    }
    put_hot(request, is_answer ? OUTPUT_TEXT : INPUT_TEXT, Py_NewRef(text));
    put_hot(request, is_answer ? OUTPUT_PREVIEW : INPUT_PREVIEW, said.preview);
    if (is_answer && flags & REASON_OF_ANSWER) {
        PyObject *reason = said.finish_reason;
        return put_hot(request, FINISH_REASON, reason != NULL ? reason : PyUnicode_FromStringAndSize("", 0)) < 0 ? -1 : 1;
    }
    Py_XDECREF(said.finish_reason);
    return 1;
}

static int put_costs(Request *request, const Meaning *meaning, PyObject *rates) {
    PyObject *cost[2] = {NULL, NULL};
    if (rates == Py_None) {
        return 1;
    }
    if (meaning->tokens[0] > MAX_TOKENS_OF_A_PRICE || meaning->tokens[1] > MAX_TOKENS_OF_A_PRICE) {
        return 0;
    }
    for (int which = 0; which < 2; which++) {
        PyObject *tokens = PyLong_FromLongLong(meaning->tokens[which]);
        if (tokens != NULL) {
            cost[which] = PyNumber_Multiply(PyTuple_GET_ITEM(rates, which), tokens);
            Py_DECREF(tokens);
        }
        if (put_hot(request, which ? OUT_COST : IN_COST, cost[which]) < 0) {
            return -1;
        }
    }
    return put_hot(request, COST, PyNumber_Add(cost[0], cost[1])) < 0 ? -1 : 1;
}

/* Fill the row from a template, (row, rates or None, flags): 1, 0 for a span that Python must read, -1. */
static int put_span(Request *request, const Span *span, const Meaning *meaning, PyObject *template) {
    Py_ssize_t chars;
    long flags = PyLong_AsLong(PyTuple_GET_ITEM(template, 2));
    int ok;
    if (put_row(request, PyTuple_GET_ITEM(template, 0)) < 0 || put_ids(request, span) < 0 ||
        put_hot(request, ATTRIBUTES, Py_NewRef(meaning->texts)) < 0) {
        return -1;
    }
    PyObject *name = PyUnicode_DecodeUTF8((const char *)span->name.at, size_of(span->name), NULL);
    if (name == NULL) {
        PyErr_Clear(); /* protobuf's own parser will say so */
        return 0;
    }
    chars = PyUnicode_GET_LENGTH(name);
    put_hot(request, NAME, name);
    if (chars > MAX_NAME_CHARS) {
        return 0;
    }
    if (flags & NAME_IS_TOOL) {
        put_hot(request, TOOL_NAME, Py_NewRef(name));
    }
    for (int place = 0; place < meaning->labels; place++) {
        put(request, meaning->label[place].column, Py_NewRef(meaning->label[place].text));
    }
    for (int which = 0; which < 2; which++) {
        if (meaning->has_tokens[which] &&
            put_hot(request, which ? OUT_TOKENS : IN_TOKENS, PyLong_FromLongLong(meaning->tokens[which])) < 0) {
            return -1;
        }
    }
    if (meaning->input != NULL && (ok = put_messages(request, meaning->input, 0, flags)) != 1) {
        return ok;
    }
    if (meaning->output != NULL && (ok = put_messages(request, meaning->output, 1, flags)) != 1) {
        return ok;
    }
    return put_costs(request, meaning, PyTuple_GET_ITEM(template, 1));
}

/* Let Python read a span; `key` is that of the template which it may become, or None. */
static int ask_python(Request *request, const Span *span, PyObject *base, PyObject *key) {
    PyObject *row = NULL, *place = PyLong_FromSsize_t(request->rows);
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)span->bytes.at, size_of(span->bytes));
    if (place != NULL && bytes != NULL) {
        row = PyObject_CallFunctionObjArgs(request->read_span, bytes, base, place, key, NULL);
    }
    Py_XDECREF(place);
    Py_XDECREF(bytes);
    if (row == NULL) {
        return -1;
    }
    int ok = put_row(request, row);
    Py_DECREF(row);
    return ok;
}

/* A span that is dropped: the body is only sound if all of it is. */
static int refuse(Request *request, Slice bytes, int why) {
    PyObject *checked;
    request->refused[why]++;
    if (nests_deeper(bytes, MAX_NESTING)) {
        return -1;
    }
    checked = PyObject_CallFunction(request->check_span, "y#", (const char *)bytes.at, size_of(bytes));
    Py_XDECREF(checked);
    return checked == NULL ? -1 : 0;
}

/* Put the span's row by a template: 1, 0 for a span that Python must read, with the `key` of the template that it may
   become, or -1. */
static int try_template(Request *request, const Span *span, uint64_t serial, PyObject **key) {
    Meaning meaning;
    int ok = read_attributes(request, span, serial, &meaning);
    if (ok == 1) {
        *key = PyBytes_FromStringAndSize(request->template_key.start, request->template_key.size);
        PyObject *template = *key == NULL ? NULL : PyDict_GetItemWithError(request->reader->templates, *key);
        if (template != NULL) {
            Py_INCREF(template); /* the threads of Python may forget it meanwhile */
            ok = put_span(request, span, &meaning, template);
            Py_DECREF(template);
            Py_CLEAR(*key);
        } else {
            ok = PyErr_Occurred() ? -1 : 0;
        }
    }
    if (ok == 1 && meaning.is_long) {
        PyObject *place = PyLong_FromSsize_t(request->rows);
        ok = place == NULL || PyList_Append(request->long_rows, place) < 0 ? -1 : 1;
        Py_XDECREF(place);
    }
    Py_XDECREF(meaning.texts);
    return ok;
}

/* -1 with an exception, or without one for a body that protobuf's own parser has to judge. */
static int add_span(Request *request, Slice bytes, PyObject *base, uint64_t serial) {
    Span span;
    PyObject *key = NULL;
    int ok = read_fields(bytes, &span);
    if (ok < 0) {
        return -1;
    }
    int why = refusal(request, &span);
    if (why != ACCEPTED) {
        return refuse(request, bytes, why);
    }
    ok = span.by_python ? 0 : try_template(request, &span, serial, &key);
    if (ok == 0) {
        ok = nests_deeper(bytes, MAX_NESTING) ? -1 : ask_python(request, &span, base, key != NULL ? key : Py_None);
    }
    Py_XDECREF(key);
    request->rows++;
    return ok < 0 ? -1 : 0;
}

static int add_spans_of(Request *request, const Scope *scope, PyObject *base) {
    uint64_t serial = PyTuple_Check(base) ? PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(base, 0)) : 0;
    if (PyErr_Occurred()) {
        return -1;
    }
    for (Py_ssize_t span = scope->first; span < scope->first + scope->count; span++) {
        if (add_span(request, ((Slice *)request->spans.start)[span], base, serial) < 0) {
            return -1;
        }
        if (span % SPANS_BETWEEN_YIELDS == SPANS_BETWEEN_YIELDS - 1) {
            Py_BEGIN_ALLOW_THREADS; /* a large body must not keep the others waiting */
            Py_END_ALLOW_THREADS;
        }
    }
    return 0;
}

static int add_spans(Request *request) {
    Scope *scopes = (Scope *)request->scopes.start;
    Py_ssize_t count = request->scopes.size / (Py_ssize_t)sizeof(Scope);
    for (Py_ssize_t at = 0; at < count; at++) {
        Slice resource = scopes[at].resource, scope = scopes[at].scope;
        if (!scopes[at].count) {
            continue;
        }
        PyObject *base = PyObject_CallFunction(
            request->make_base, "y#y#", resource.at ? (const char *)resource.at : "", size_of(resource),
            scope.at ? (const char *)scope.at : "", size_of(scope));
        int ok = base == NULL ? -1 : add_spans_of(request, &scopes[at], base);
        Py_XDECREF(base);
        if (ok < 0) {
            return -1;
        }
    }
    return 0;
}

/* The columns without the rows that were refused. */
static PyObject *answer(Request *request) {
    PyObject *columns = PyList_New(request->reader->columns);
    for (Py_ssize_t column = 0; columns != NULL && column < request->reader->columns; column++) {
        PyObject *list = request->columns[column];
        if (PyList_SetSlice(list, request->rows, PyList_GET_SIZE(list), NULL) < 0) {
            Py_CLEAR(columns);
            break;
        }
        PyList_SET_ITEM(columns, column, Py_NewRef(list));
    }
    if (columns == NULL) {
        return NULL;
    }
    return Py_BuildValue("N(llll)", columns, request->refused[0], request->refused[1], request->refused[2],
                         request->refused[3]);
}

static PyObject *run(Request *request, Slice body) {
    PyObject *result = NULL;
    int ok = collect(request, body);
    Py_ssize_t spans = request->spans.size / (Py_ssize_t)sizeof(Slice);
    for (Py_ssize_t column = 0; ok == 0 && column < request->reader->columns; column++) {
        request->columns[column] = PyList_New(spans);
        ok = request->columns[column] == NULL ? -1 : 0;
    }
    if (ok == 0 && add_spans(request) == 0) {
        result = answer(request);
    }
    for (Py_ssize_t column = 0; column < request->reader->columns; column++) {
        Py_XDECREF(request->columns[column]);
    }
    drop(&request->scopes);
    drop(&request->spans);
    drop(&request->template_key);
    if (result == NULL && !PyErr_Occurred()) {
        Py_RETURN_NONE;
    }
    return result;
}

PyDoc_STRVAR(read_doc, "Read a request; see the stub `_native.pyi`.");

static PyObject *reader_read(Reader *self, PyObject *args, PyObject *named) {
    static char *names[] = {"body",        "make_base", "read_span",   "check_span",    "long_rows",      "oldest_ns", "newest_ns",
                            "max_spans",   "surely_fits", "max_bytes", "max_key_chars", "max_attributes", "cuts_blobs", NULL};
    Py_buffer body;
    Request request;
    unsigned long long oldest, newest;
    memset(&request, 0, sizeof request);
    request.reader = self;
    if (!PyArg_ParseTupleAndKeywords(args, named, "y*OOOO!KKnnnnnp", names, &body, &request.make_base,
                                     &request.read_span, &request.check_span, &PyList_Type, &request.long_rows, &oldest,
                                     &newest, &request.max_spans, &request.caps.surely_fits, &request.caps.max_bytes,
                                     &request.caps.max_key_chars, &request.caps.max_attributes,
                                     &request.caps.cuts_blobs)) {
        return NULL;
    }
    request.oldest = oldest;
    request.newest = newest;
    Slice bytes = {body.buf, (const uint8_t *)body.buf + body.len};
    PyObject *result = run(&request, bytes);
    PyBuffer_Release(&body);
    return result;
}

static int find_columns(Reader *self, PyObject *names) {
    self->columns = PyTuple_GET_SIZE(names);
    if (self->columns > MAX_COLUMNS) {
        PyErr_SetString(PyExc_ValueError, "more columns than the kernel has room for");
        return -1;
    }
    for (int hot = 0; hot < HOT_COUNT; hot++) {
        self->hot[hot] = -1;
        for (Py_ssize_t column = 0; column < self->columns; column++) {
            const char *name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(names, column));
            if (name == NULL) {
                return -1;
            }
            if (!strcmp(name, HOT[hot])) {
                self->hot[hot] = column;
            }
        }
        if (self->hot[hot] < 0) {
            PyErr_Format(PyExc_ValueError, "there is no column %s", HOT[hot]);
            return -1;
        }
    }
    return 0;
}

static int reader_init(Reader *self, PyObject *args, PyObject *named) {
    static char *keywords[] = {"columns", "classify", "templates", NULL};
    PyObject *names, *classify, *templates;
    if (self->classify != NULL) {
        PyErr_SetString(PyExc_TypeError, "a Reader is made once");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(args, named, "O!OO!", keywords, &PyTuple_Type, &names, &classify, &PyDict_Type,
                                     &templates)) {
        return -1;
    }
    if (find_columns(self, names) < 0) {
        return -1;
    }
    self->classify = Py_NewRef(classify);
    self->templates = Py_NewRef(templates);
    return 0;
}

static void reader_dealloc(Reader *self) {
    Py_XDECREF(self->classify);
    Py_XDECREF(self->templates);
    drop_keys(&self->keys);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *reader_keys(Reader *self, void *unused) {
    (void)unused;
    return PyLong_FromSsize_t(self->keys.count);
}

static PyMethodDef methods[] = {
    {"read", (PyCFunction)(void (*)(void))reader_read, METH_VARARGS | METH_KEYWORDS, read_doc},
    {NULL, NULL, 0, NULL},
};
static PyGetSetDef properties[] = {
    {"keys", (getter)reader_keys, NULL, "How many keys were met.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject ReaderType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "collectors.kernel._native.Reader",
    .tp_basicsize = sizeof(Reader),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "Reads requests of spans by one table of keys.",
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)reader_init,
    .tp_dealloc = (destructor)reader_dealloc,
    .tp_methods = methods,
    .tp_getset = properties,
};
