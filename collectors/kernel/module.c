/* The module: what Python sees of the kernel. `_native.pyi` says what each function takes and gives. */
#include "kernel.h"

static PyMethodDef functions[] = {
    {"encode_strings", encode_strings, METH_O, "Texts as String."},
    {"encode_low_cardinality", encode_low_cardinality, METH_O, "Texts as LowCardinality(String)."},
    {"encode_maps", encode_maps, METH_O, "Dictionaries as Map(LowCardinality(String), String)."},
    {"encode_numbers", encode_numbers, METH_VARARGS, "Integers or truth values by a letter of struct."},
    {"long_literals", long_literals, METH_VARARGS, "Places of the long string literals of a JSON text."},
    {"long_values", long_values, METH_VARARGS, "Keys of the long texts of a dictionary."},
    {"mentions", mentions, METH_VARARGS, "Whether bytes hold one of several others."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "collectors.kernel._native",
    .m_doc = "Spans to columns and columns to bytes, compiled.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__native(void) {
    PyObject *module;
    if (PyType_Ready(&ReaderType) < 0 || (module = PyModule_Create(&definition)) == NULL) {
        return NULL;
    }
    if (PyModule_AddObjectRef(module, "Reader", (PyObject *)&ReaderType) < 0 ||
        PyModule_AddIntConstant(module, "INTERFACE", INTERFACE) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
