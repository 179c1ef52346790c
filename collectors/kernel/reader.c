/* Spans to columns. What many spans have in common is worked out by Python once, for the first of them, and kept as a
   template: the row of that span. Of each further span of that template only the columns are made that differ by span:
   ids, times, names, texts, counts of tokens and what they cost. A span that is unlike that is left to Python. */
#include "span.h"

enum { SPANS_BETWEEN_YIELDS = 256 };

static const char *const HOT[HOT_COUNT] = {
    "trace_id",      "span_id",       "parent_span_id", "is_entry",       "start_time",    "duration_ns",  "name",
    "attributes",    "input",         "input_preview",  "output",         "output_preview", "finish_reason",
    "input_tokens",  "output_tokens", "input_cost",     "output_cost",    "cost",          "tool_name",
    "request",       "tools",
};
static const char *const ASKED[ASKED_COUNT] = {"seed", "max_tokens"};

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
    drop_meaning(&meaning);
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
    static char *keywords[] = {"columns", "classify", "templates", "tools", NULL};
    PyObject *names, *classify, *templates, *tools;
    if (self->classify != NULL) {
        PyErr_SetString(PyExc_TypeError, "a Reader is made once");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(args, named, "O!OO!O!", keywords, &PyTuple_Type, &names, &classify, &PyDict_Type,
                                     &templates, &PyDict_Type, &tools)) {
        return -1;
    }
    if (find_columns(self, names) < 0) {
        return -1;
    }
    for (int which = 0; which < ASKED_COUNT; which++) {
        if (self->asked[which] == NULL && (self->asked[which] = PyUnicode_InternFromString(ASKED[which])) == NULL) {
            return -1;
        }
    }
    self->classify = Py_NewRef(classify);
    self->templates = Py_NewRef(templates);
    self->tools = Py_NewRef(tools);
    return 0;
}

static void reader_dealloc(Reader *self) {
    Py_XDECREF(self->classify);
    Py_XDECREF(self->templates);
    Py_XDECREF(self->tools);
    for (int which = 0; which < ASKED_COUNT; which++) {
        Py_XDECREF(self->asked[which]);
    }
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
