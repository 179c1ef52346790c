/* Rows of the columns: whole ones, and templates with what differs by span. */
#include "span.h"

enum { MAX_NAME_CHARS = 512, MAX_TOKENS_OF_A_PRICE = 10000000 };

/* Put a new reference into a column's row. */
static void put(Request *request, Py_ssize_t column, PyObject *value) {
    PyObject *before = PyList_GET_ITEM(request->columns[column], request->rows);
    PyList_SET_ITEM(request->columns[column], request->rows, value);
    Py_XDECREF(before);
}

int put_row(Request *request, PyObject *row) {
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

/* What was asked for: the template's entries, with the numbers of this span. */
static int put_asked(Request *request, const Meaning *meaning) {
    PyObject *of_template = PyList_GET_ITEM(request->columns[request->reader->hot[REQUEST]], request->rows);
    PyObject *asked = PyDict_Copy(of_template);
    for (int which = 0; asked != NULL && which < ASKED_COUNT; which++) {
        if (meaning->asked[which] != NULL &&
            PyDict_SetItem(asked, request->reader->asked[which], meaning->asked[which]) < 0) {
            Py_CLEAR(asked);
        }
    }
    return put_hot(request, REQUEST, asked);
}

int put_span(Request *request, const Span *span, const Meaning *meaning, PyObject *template) {
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
    if (flags & HAS_MEANING && meaning->has_asked && put_asked(request, meaning) < 0) {
        return -1;
    }
    if (flags & HAS_MEANING && meaning->tools != NULL) {
        put_hot(request, TOOLS_TEXT, Py_NewRef(meaning->tools));
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
