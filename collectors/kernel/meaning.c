/* What the attributes of a span say, and the key of the template that it has. */
#include "span.h"

enum { MAX_LABEL_CHARS = 512, MAX_SHAPING_BYTES = 200 };
#define DAY_NS 86400000000000ull
#define MAX_COUNT 4294967295ll

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

static int take_tools(Request *request, Meaning *meaning, const Value *value) {
    if (value->kind != 1 || meaning->tools != NULL || PyUnicode_GET_LENGTH(value->text) == 0) {
        return 0;
    }
    meaning->tools = Py_XNewRef(PyDict_GetItemWithError(request->reader->tools, value->text));
    return meaning->tools != NULL ? 1 : PyErr_Occurred() ? -1 : 0;
}

static int take(Request *request, Meaning *meaning, Key *key, const Value *value) {
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
    case TOOLS:
        return take_tools(request, meaning, value);
    default:
        if (key->class >= FIRST_ASKED) {
            int which = key->class - FIRST_ASKED;
            if (value->kind != 3 || value->number < 0 || value->number > MAX_COUNT || meaning->asked[which] != NULL) {
                return 0;
            }
            meaning->asked[which] = value->text;
            meaning->has_asked = 1;
            return 1;
        }
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
        if (meaning->labels == MAX_LABELS) {
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
    ok = PyDict_GET_SIZE(meaning->texts) > ok ? take(request, meaning, key, &value) : 0;
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

void drop_meaning(Meaning *meaning) {
    Py_XDECREF(meaning->texts);
    Py_XDECREF(meaning->tools);
}

int read_attributes(Request *request, const Span *span, uint64_t serial, Meaning *meaning) {
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
