/* Keys that were met, and values of attributes as texts: `collectors.otlp.values` in C. */
#include "attributes.h"

#include <math.h>

enum { MAX_KEYS = 65536, MAX_KEY_BYTES = 256, MAX_ARRAY_BYTES = 512, BLOB_CHARS = 2048, WINDOW = 96 };

static uint32_t hash_of(Slice bytes) {
    uint32_t hash = 2166136261u;
    for (const uint8_t *at = bytes.at; at < bytes.end; at++) {
        hash = (hash ^ *at) * 16777619u;
    }
    return hash;
}

static int is_key(Key *key, Slice bytes) {
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(key->text, &size);
    return text != NULL && size == size_of(bytes) && (size == 0 || !memcmp(text, bytes.at, size));
}

static int grow(Keys *keys) {
    Py_ssize_t room = keys->room ? keys->room * 2 : 1024;
    Key **slots = PyMem_Calloc(room, sizeof *slots);
    if (slots == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t place = 0; place < keys->room; place++) {
        Key *key = keys->slots[place];
        if (key != NULL) {
            Py_ssize_t size;
            const char *text = PyUnicode_AsUTF8AndSize(key->text, &size);
            Slice bytes = {(const uint8_t *)text, (const uint8_t *)text + size};
            uint32_t at = hash_of(bytes) & (room - 1);
            while (slots[at] != NULL) {
                at = (at + 1) & (room - 1);
            }
            slots[at] = key;
        }
    }
    PyMem_Free(keys->slots);
    keys->slots = slots;
    keys->room = room;
    return 0;
}

static Key *look_up(Keys *keys, Slice bytes, uint32_t hash, uint32_t *at) {
    for (*at = hash & (keys->room - 1); keys->slots[*at] != NULL; *at = (*at + 1) & (keys->room - 1)) {
        if (is_key(keys->slots[*at], bytes)) {
            return keys->slots[*at];
        }
    }
    return NULL;
}

Key *find_key(Keys *keys, Slice bytes, PyObject *classify) {
    uint32_t hash = hash_of(bytes), at;
    if (size_of(bytes) > MAX_KEY_BYTES || (keys->room == 0 && grow(keys) < 0)) {
        return NULL;
    }
    Key *key = look_up(keys, bytes, hash, &at);
    if (key != NULL || keys->count >= MAX_KEYS) {
        return key;
    }
    PyObject *text = PyUnicode_DecodeUTF8((const char *)bytes.at, size_of(bytes), NULL);
    if (text == NULL) {
        PyErr_Clear(); /* protobuf's own parser will say so */
        return NULL;
    }
    PyUnicode_InternInPlace(&text);
    PyObject *answer = PyObject_CallOneArg(classify, text);
    int class = answer == NULL ? -1 : (int)PyLong_AsLong(answer);
    Py_XDECREF(answer);
    if (class == -1 && PyErr_Occurred()) {
        Py_DECREF(text);
        return NULL;
    }
    /* Python ran meanwhile, and with it perhaps another thread. */
    if ((keys->count * 2 >= keys->room && grow(keys) < 0) || (key = look_up(keys, bytes, hash, &at)) != NULL) {
        Py_DECREF(text);
        return key;
    }
    key = PyMem_Malloc(sizeof *key);
    if (key == NULL) {
        Py_DECREF(text);
        PyErr_NoMemory();
        return NULL;
    }
    key->text = text;
    key->number = (uint32_t)keys->count++;
    key->class = class;
    keys->slots[at] = key;
    return key;
}

void drop_keys(Keys *keys) {
    for (Py_ssize_t place = 0; place < keys->room; place++) {
        if (keys->slots[place] != NULL) {
            Py_DECREF(keys->slots[place]->text);
            PyMem_Free(keys->slots[place]);
        }
    }
    PyMem_Free(keys->slots);
    keys->slots = NULL;
    keys->room = keys->count = 0;
}

static int is_base64(Py_UCS4 letter) {
    return (letter >= 'A' && letter <= 'Z') || (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') ||
           letter == '+' || letter == '/' || letter == '_' || letter == '-';
}

/* Whether `collectors.blobs.Cutter` would find a window to look at more closely. */
static int may_hold_blob(PyObject *text) {
    Py_ssize_t size = PyUnicode_GET_LENGTH(text);
    int kind = PyUnicode_KIND(text);
    const void *data = PyUnicode_DATA(text);
    for (Py_ssize_t place = 0; place + WINDOW <= size; place += BLOB_CHARS - WINDOW) {
        int at = 0;
        while (at < WINDOW && is_base64(PyUnicode_READ(kind, data, place + at))) {
            at++;
        }
        if (at == WINDOW) {
            return 1;
        }
    }
    return 0;
}

static int read_text(Slice bytes, const Caps *caps, Value *value) {
    value->text = PyUnicode_DecodeUTF8((const char *)bytes.at, size_of(bytes), NULL);
    if (value->text == NULL) {
        if (PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
            PyErr_Clear();
        }
        return -1;
    }
    Py_ssize_t chars = PyUnicode_GET_LENGTH(value->text);
    if (chars <= caps->surely_fits) {
        return 1;
    }
    value->is_long = 1;
    if (size_of(bytes) > caps->max_bytes || (caps->cuts_blobs && chars >= BLOB_CHARS && may_hold_blob(value->text))) {
        Py_CLEAR(value->text);
        return 0;
    }
    return 1;
}

/* How a letter stands in JSON: NULL for one that needs no escape, "" for one that is left to Python. */
static const char *escape_of(uint8_t letter) {
    switch (letter) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n': /* stop sequences have these */
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        return letter < 0x20 ? "" : NULL;
    }
}

/* A string in JSON: 1, 0 for one that Python must write, -1. */
static int add_json(Buffer *out, Slice bytes) {
    int ok = add_bytes(out, "\"", 1);
    for (const uint8_t *at = bytes.at, *from = at; ok == 0 && at <= bytes.end; at++) {
        const char *escape = at < bytes.end ? escape_of(*at) : NULL;
        if (escape != NULL && !*escape) {
            return 0;
        }
        if (escape != NULL || at == bytes.end) {
            ok = add_bytes(out, from, at - from);
            from = at + 1;
        }
        if (ok == 0 && escape != NULL) {
            ok = add_bytes(out, escape, 2);
        }
    }
    return ok < 0 || add_bytes(out, "\"", 1) < 0 ? -1 : 1;
}

/* A short array of strings as JSON. */
static int read_array(Slice bytes, const Caps *caps, Value *value) {
    Field item, inner;
    Buffer out = {0};
    int ok, first = 1;
    if (size_of(bytes) > MAX_ARRAY_BYTES || 2 * size_of(bytes) > caps->surely_fits) {
        return 0;
    }
    ok = add_bytes(&out, "[", 1) < 0 ? -1 : 1;
    while (ok == 1 && (ok = next_field(&bytes, &item)) == 1) {
        Slice rest = item.bytes;
        if (item.number != 1 || item.type != BYTES || next_field(&rest, &inner) != 1 || inner.number != 1 ||
            inner.type != BYTES || size_of(rest)) {
            ok = 0;
            goto done;
        }
        if (!first && add_bytes(&out, ",", 1) < 0) {
            ok = -1;
        } else {
            ok = add_json(&out, inner.bytes);
        }
        if (ok == 0) {
            goto done;
        }
        first = 0;
    }
    if (ok == 0) {
        ok = add_bytes(&out, "]", 1) < 0 ? -1 : 1;
    }
    if (ok == 1) {
        value->text = PyUnicode_DecodeUTF8(out.start, out.size, NULL);
        if (value->text == NULL) {
            if (PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
                PyErr_Clear();
            }
            ok = -1;
        }
    }
done:
    drop(&out);
    return ok;
}

static int read_double(uint64_t bits, Value *value) {
    double number;
    memcpy(&number, &bits, sizeof number);
    if (!isfinite(number)) {
        return 0;
    }
    char *digits = PyOS_double_to_string(number, 'r', 0, Py_DTSF_ADD_DOT_0, NULL);
    if (digits == NULL) {
        return -1;
    }
    value->text = PyUnicode_FromString(digits);
    PyMem_Free(digits);
    return value->text == NULL ? -1 : 1;
}

int read_value(Slice bytes, const Caps *caps, Value *value) {
    Field field;
    memset(value, 0, sizeof *value);
    int ok = next_field(&bytes, &field);
    if (ok < 0) {
        return -1;
    }
    if (ok == 0) {
        value->text = PyUnicode_FromStringAndSize("", 0);
        return value->text == NULL ? -1 : 1;
    }
    if (size_of(bytes)) {
        return 0;
    }
    value->kind = (uint8_t)field.number;
    value->number = (int64_t)field.value;
    if (field.number == 1 && field.type == BYTES) {
        return read_text(field.bytes, caps, value);
    }
    if (field.number == 2 && field.type == VARINT) {
        value->text = PyUnicode_FromString(field.value ? "true" : "false");
        return value->text == NULL ? -1 : 1;
    }
    if (field.number == 3 && field.type == VARINT) {
        value->text = PyUnicode_FromFormat("%lld", (long long)value->number);
        return value->text == NULL ? -1 : 1;
    }
    if (field.number == 4 && field.type == FIXED64) {
        return read_double(field.value, value);
    }
    return field.number == 5 && field.type == BYTES ? read_array(field.bytes, caps, value) : 0;
}
