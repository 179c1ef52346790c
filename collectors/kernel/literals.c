/* Looking for things in texts: what takes Python longest where there is nothing to find. */
#define _GNU_SOURCE
#include "kernel.h"

static int add_span_of(PyObject *found, Py_ssize_t start, Py_ssize_t end, int is_plain) {
    PyObject *span = Py_BuildValue("(nnO)", start, end, is_plain ? Py_True : Py_False);
    int ok = span == NULL ? -1 : PyList_Append(found, span);
    Py_XDECREF(span);
    return ok;
}

/* The end of a literal that begins at `at`, or -1 where it never ends; `is_plain` says that nothing in it is escaped or
   would have to be. */
static Py_ssize_t end_of_ascii(const Py_UCS1 *text, Py_ssize_t size, Py_ssize_t at, int *is_plain) {
    for (*is_plain = 1; at < size; at++) {
        at += plain_bytes((const char *)text + at, (const char *)text + size);
        if (at == size) {
            return -1;
        }
        Py_UCS1 letter = text[at];
        if (letter == '"') {
            return at;
        }
        if (letter == '\\') {
            *is_plain = 0;
            at++;
        } else if (letter < ' ') {
            *is_plain = 0;
        }
    }
    return -1;
}

static Py_ssize_t end_of(int kind, const void *text, Py_ssize_t size, Py_ssize_t at, int *is_plain) {
    if (kind == PyUnicode_1BYTE_KIND) {
        return end_of_ascii(text, size, at, is_plain);
    }
    for (*is_plain = 1; at < size; at++) {
        Py_UCS4 letter = PyUnicode_READ(kind, text, at);
        if (letter == '"') {
            return at;
        }
        *is_plain &= letter >= ' ' && letter != '\\';
        at += letter == '\\';
    }
    return -1;
}

PyObject *long_literals(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *text, *found;
    Py_ssize_t least, at = 0;
    int is_plain;
    if (!PyArg_ParseTuple(args, "Un", &text, &least) || (found = PyList_New(0)) == NULL) {
        return NULL;
    }
    Py_ssize_t size = PyUnicode_GET_LENGTH(text);
    while (at < size) {
        Py_ssize_t start = PyUnicode_FindChar(text, '"', at, size, 1) + 1;
        if (start <= 0) {
            break;
        }
        Py_ssize_t end = end_of(PyUnicode_KIND(text), PyUnicode_DATA(text), size, start, &is_plain);
        if (end < 0) {
            break; /* behind the quote of a literal that never ends there are only escaped ones */
        }
        if (end - start >= least && add_span_of(found, start, end, is_plain) < 0) {
            Py_DECREF(found);
            return NULL;
        }
        at = end + 1;
    }
    return found;
}

PyObject *long_values(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *map, *key, *value, *found;
    Py_ssize_t least, place = 0;
    if (!PyArg_ParseTuple(args, "O!n", &PyDict_Type, &map, &least) || (found = PyList_New(0)) == NULL) {
        return NULL;
    }
    while (PyDict_Next(map, &place, &key, &value)) {
        if (PyUnicode_Check(value) && PyUnicode_GET_LENGTH(value) >= least && PyList_Append(found, key) < 0) {
            Py_DECREF(found);
            return NULL;
        }
    }
    return found;
}

PyObject *mentions(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer body;
    PyObject *marks;
    int found = 0;
    if (!PyArg_ParseTuple(args, "y*O!", &body, &PyTuple_Type, &marks)) {
        return NULL;
    }
    for (Py_ssize_t place = 0; !found && place < PyTuple_GET_SIZE(marks); place++) {
        char *mark;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(PyTuple_GET_ITEM(marks, place), &mark, &size) < 0) {
            PyBuffer_Release(&body);
            return NULL;
        }
        found = memmem(body.buf, (size_t)body.len, mark, (size_t)size) != NULL;
    }
    PyBuffer_Release(&body);
    return PyBool_FromLong(found);
}
