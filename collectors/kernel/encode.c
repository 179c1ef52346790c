/* Columns of Python values as ClickHouse's native bytes. A value that does not fit gives None: the encoder in Python
   then says what is wrong with it. */
#include "kernel.h"

enum { REMEMBERED = 256 };

static int add_varint(Buffer *out, uint64_t number) {
    unsigned char bytes[10];
    int size = 0;
    while (number > 0x7F) {
        bytes[size++] = (unsigned char)(number & 0x7F) | 0x80;
        number >>= 7;
    }
    bytes[size++] = (unsigned char)number;
    return add_bytes(out, bytes, size);
}

/* 0, -1 with an exception. */
static int add_string(Buffer *out, PyObject *text) {
    Py_ssize_t size;
    if (!PyUnicode_Check(text)) {
        PyErr_SetString(PyExc_TypeError, "a text is expected");
        return -1;
    }
    const char *bytes = PyUnicode_AsUTF8AndSize(text, &size);
    if (bytes == NULL || reserve(out, size + 10) < 0 || add_varint(out, (uint64_t)size) < 0) {
        return -1;
    }
    return add_bytes(out, bytes, size);
}

/* The bytes, or None where a value does not fit; other exceptions stay. */
static PyObject *finished(Buffer *out, int ok) {
    if (ok == 0) {
        return taken(out);
    }
    drop(out);
    if (PyErr_ExceptionMatches(PyExc_MemoryError)) {
        return NULL;
    }
    PyErr_Clear();
    Py_RETURN_NONE;
}

static PyObject *as_sequence(PyObject *items) { return PySequence_Fast(items, "a list of values is expected"); }

PyObject *encode_strings(PyObject *module, PyObject *items) {
    (void)module;
    PyObject *list = as_sequence(items);
    Buffer out = {0};
    int ok = 0;
    if (list == NULL) {
        return NULL;
    }
    for (Py_ssize_t row = 0; ok == 0 && row < PySequence_Fast_GET_SIZE(list); row++) {
        ok = add_string(&out, PySequence_Fast_GET_ITEM(list, row));
    }
    Py_DECREF(list);
    return finished(&out, ok);
}

/* The distinct texts of a column, each with its number. Most repeat as the same object, so that its address tells. */
typedef struct {
    PyObject *numbers;
    PyObject *seen[REMEMBERED];
    uint32_t number[REMEMBERED];
    Buffer texts;
    Buffer keys;
    Py_ssize_t rows;
} Dictionary;

static int add_key(Dictionary *dictionary, PyObject *text) {
    size_t at = ((uintptr_t)text >> 4) % REMEMBERED;
    uint32_t number;
    if (dictionary->seen[at] == text) {
        number = dictionary->number[at];
    } else {
        PyObject *known = PyDict_GetItemWithError(dictionary->numbers, text);
        if (known == NULL) {
            if (PyErr_Occurred() || add_string(&dictionary->texts, text) < 0) {
                return -1;
            }
            number = (uint32_t)PyDict_GET_SIZE(dictionary->numbers);
            PyObject *value = PyLong_FromUnsignedLong(number);
            int ok = value == NULL ? -1 : PyDict_SetItem(dictionary->numbers, text, value);
            Py_XDECREF(value);
            if (ok < 0) {
                return -1;
            }
        } else {
            number = (uint32_t)PyLong_AsUnsignedLong(known);
        }
        dictionary->seen[at] = text;
        dictionary->number[at] = number;
    }
    dictionary->rows++;
    return add_bytes(&dictionary->keys, &number, sizeof number);
}

static int add_little_endian(Buffer *out, uint64_t number, int width) {
    unsigned char bytes[8];
    for (int place = 0; place < width; place++) {
        bytes[place] = (unsigned char)(number >> (8 * place));
    }
    return add_bytes(out, bytes, width);
}

/* The data of LowCardinality(String): its own dictionary, then a key a row; nothing without rows. */
static int add_dictionary(Buffer *out, Dictionary *dictionary) {
    Py_ssize_t texts = PyDict_GET_SIZE(dictionary->numbers);
    int code = texts <= 256 ? 0 : texts <= 65536 ? 1 : 2;
    const uint32_t *numbers = (const uint32_t *)dictionary->keys.start;
    if (!dictionary->rows) {
        return 0;
    }
    if (add_little_endian(out, (1u << 9) | (1u << 10) | (unsigned)code, 8) < 0 ||
        add_little_endian(out, (uint64_t)texts, 8) < 0 ||
        add_bytes(out, dictionary->texts.start, dictionary->texts.size) < 0 ||
        add_little_endian(out, (uint64_t)dictionary->rows, 8) < 0 || reserve(out, dictionary->rows << code) < 0) {
        return -1;
    }
    for (Py_ssize_t row = 0; row < dictionary->rows; row++) {
        for (int place = 0; place < 1 << code; place++) {
            out->start[out->size++] = (char)(numbers[row] >> (8 * place));
        }
    }
    return 0;
}

static int begin(Dictionary *dictionary) {
    memset(dictionary, 0, sizeof *dictionary);
    dictionary->numbers = PyDict_New();
    return dictionary->numbers == NULL ? -1 : 0;
}

static void end(Dictionary *dictionary) {
    Py_XDECREF(dictionary->numbers);
    drop(&dictionary->texts);
    drop(&dictionary->keys);
}

PyObject *encode_low_cardinality(PyObject *module, PyObject *items) {
    (void)module;
    PyObject *list = as_sequence(items);
    Buffer out = {0};
    Dictionary dictionary;
    if (list == NULL) {
        return NULL;
    }
    int ok = begin(&dictionary);
    for (Py_ssize_t row = 0; ok == 0 && row < PySequence_Fast_GET_SIZE(list); row++) {
        ok = add_key(&dictionary, PySequence_Fast_GET_ITEM(list, row));
    }
    if (ok == 0) {
        ok = add_dictionary(&out, &dictionary);
    }
    end(&dictionary);
    Py_DECREF(list);
    return finished(&out, ok);
}

PyObject *encode_maps(PyObject *module, PyObject *items) {
    (void)module;
    PyObject *list = as_sequence(items), *key, *value;
    Buffer out = {0}, values = {0};
    Dictionary dictionary;
    uint64_t total = 0;
    if (list == NULL) {
        return NULL;
    }
    int ok = begin(&dictionary);
    for (Py_ssize_t row = 0; ok == 0 && row < PySequence_Fast_GET_SIZE(list); row++) {
        PyObject *map = PySequence_Fast_GET_ITEM(list, row);
        Py_ssize_t place = 0;
        if (!PyDict_Check(map)) {
            PyErr_SetString(PyExc_TypeError, "a dictionary is expected");
            ok = -1;
            break;
        }
        while (ok == 0 && PyDict_Next(map, &place, &key, &value)) {
            ok = add_key(&dictionary, key) < 0 || add_string(&values, value) < 0 ? -1 : 0;
        }
        total += (uint64_t)PyDict_GET_SIZE(map);
        if (ok == 0) {
            ok = add_little_endian(&out, total, 8);
        }
    }
    if (ok == 0) {
        ok = add_dictionary(&out, &dictionary) < 0 || add_bytes(&out, values.start, values.size) < 0 ? -1 : 0;
    }
    end(&dictionary);
    drop(&values);
    Py_DECREF(list);
    return finished(&out, ok);
}

/* One number by the letter that `struct` has for its type. */
static int add_number(Buffer *out, PyObject *item, char letter) {
    static const char letters[] = "BHIQbhiq";
    const char *found = strchr(letters, letter);
    if (letter == '?') {
        return add_little_endian(out, item == Py_True, PyBool_Check(item) ? 1 : -1);
    }
    if (found == NULL || !PyLong_Check(item)) {
        PyErr_SetString(PyExc_TypeError, "an integer is expected");
        return -1;
    }
    int place = (int)(found - letters), bits = 8 << (place % 4), is_signed = place >= 4;
    if (is_signed) {
        long long number = PyLong_AsLongLong(item);
        if (number == -1 && PyErr_Occurred()) {
            return -1;
        }
        if (bits < 64 && (number < -(1ll << (bits - 1)) || number >= 1ll << (bits - 1))) {
            PyErr_SetString(PyExc_OverflowError, "the number does not fit");
            return -1;
        }
        return add_little_endian(out, (uint64_t)number, bits / 8);
    }
    unsigned long long number = PyLong_AsUnsignedLongLong(item);
    if (number == (unsigned long long)-1 && PyErr_Occurred()) {
        return -1;
    }
    if (bits < 64 && number >> bits) {
        PyErr_SetString(PyExc_OverflowError, "the number does not fit");
        return -1;
    }
    return add_little_endian(out, number, bits / 8);
}

PyObject *encode_numbers(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *items, *zero = NULL;
    int letter, nullable, ok = 0;
    Buffer out = {0};
    if (!PyArg_ParseTuple(args, "OCp", &items, &letter, &nullable)) {
        return NULL;
    }
    PyObject *list = as_sequence(items);
    if (list == NULL || (zero = PyLong_FromLong(0)) == NULL) {
        Py_XDECREF(list);
        return NULL;
    }
    Py_ssize_t rows = PySequence_Fast_GET_SIZE(list);
    for (Py_ssize_t row = 0; nullable && ok == 0 && row < rows; row++) {
        ok = add_little_endian(&out, PySequence_Fast_GET_ITEM(list, row) == Py_None, 1);
    }
    for (Py_ssize_t row = 0; ok == 0 && row < rows; row++) {
        PyObject *item = PySequence_Fast_GET_ITEM(list, row);
        ok = add_number(&out, nullable && item == Py_None ? (letter == '?' ? Py_False : zero) : item, (char)letter);
    }
    Py_DECREF(zero);
    Py_DECREF(list);
    return finished(&out, ok);
}
