/* The long string literals of a JSON text: what `collectors.contents` finds by a regular expression. */
#include "kernel.h"

PyObject *long_literals(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *text, *found;
    Py_ssize_t least;
    if (!PyArg_ParseTuple(args, "Un", &text, &least) || (found = PyList_New(0)) == NULL) {
        return NULL;
    }
    int kind = PyUnicode_KIND(text);
    const void *data = PyUnicode_DATA(text);
    Py_ssize_t size = PyUnicode_GET_LENGTH(text), at = 0;
    while (at < size) {
        if (PyUnicode_READ(kind, data, at) != '"') {
            at++;
            continue;
        }
        Py_ssize_t start = ++at;
        Py_UCS4 letter = 0;
        int is_plain = 1;
        while (at < size && (letter = PyUnicode_READ(kind, data, at)) != '"') {
            is_plain &= letter >= ' ' && letter != '\\';
            at += letter == '\\' ? 2 : 1;
        }
        if (at >= size) {
            break; /* It never ends, and behind its quote there are only escaped ones. */
        }
        if (at - start >= least) {
            PyObject *span = Py_BuildValue("(nnO)", start, at, is_plain ? Py_True : Py_False);
            if (span == NULL || PyList_Append(found, span) < 0) {
                Py_XDECREF(span);
                Py_DECREF(found);
                return NULL;
            }
            Py_DECREF(span);
        }
        at++;
    }
    return found;
}
