/* Messages in the canonical shape, checked and read in one pass over their JSON: `semconv.canonical` in C.

   Only what that module certainly takes is taken here, with the same answer; everything else is left to it. */
#include "kernel.h"

enum { MAX_DEPTH = 64, MAX_NUMBER = 15, PREVIEW_CHARS = 200, MAX_MESSAGES = 4096, MAX_TEXTS = 8192 };

typedef struct {
    const char *at;
    const char *end;
} Json;

/* A string between its quotes, still escaped. */
typedef struct {
    const char *at;
    Py_ssize_t size;
} Raw;

typedef struct {
    int is_user;
    int is_assistant;
    int first_text;
    int texts;
} Message;

typedef struct {
    Buffer messages;
    Buffer texts;
    int count;
    int text_count;
    Raw finish_reason;
    int has_reason;
} Found;

static int is(Raw raw, const char *word) { return raw.size == (Py_ssize_t)strlen(word) && !memcmp(raw.at, word, raw.size); }

static void skip_blanks(Json *json) {
    while (json->at < json->end && (*json->at == ' ' || *json->at == '\n' || *json->at == '\r' || *json->at == '\t')) {
        json->at++;
    }
}

static int expect(Json *json, char letter) {
    skip_blanks(json);
    if (json->at == json->end || *json->at != letter) {
        return 0;
    }
    json->at++;
    return 1;
}

static int peek(Json *json) {
    skip_blanks(json);
    return json->at < json->end ? (unsigned char)*json->at : -1;
}

/* A string; escapes of code points are for Python. */
static int read_string(Json *json, Raw *raw) {
    if (!expect(json, '"')) {
        return 0;
    }
    raw->at = json->at;
    while (json->at < json->end) {
        json->at += plain_bytes(json->at, json->end);
        if (json->at == json->end) {
            return 0;
        }
        unsigned char letter = (unsigned char)*json->at;
        if (letter == '"') {
            raw->size = json->at - raw->at;
            json->at++;
            return 1;
        }
        if (letter < 0x20) {
            return 0;
        }
        if (letter == '\\') {
            json->at++;
            if (json->at == json->end || memchr("\"\\/bfnrt", *json->at, 8) == NULL) {
                return 0;
            }
            /* Python looks for a backslash before a `u` without asking whether it is itself escaped. */
            if (*json->at == '\\' && json->at + 1 < json->end && json->at[1] == 'u') {
                return 0;
            }
        }
        json->at++;
    }
    return 0;
}

static int skip_word(Json *json, const char *word) {
    Py_ssize_t size = (Py_ssize_t)strlen(word);
    if (json->end - json->at < size || memcmp(json->at, word, size)) {
        return 0;
    }
    json->at += size;
    return 1;
}

/* Short decimal numbers; exponents and long ones are for Python. */
static int skip_number(Json *json) {
    const char *start = json->at;
    if (*json->at == '-') {
        json->at++;
    }
    const char *digits = json->at;
    while (json->at < json->end && *json->at >= '0' && *json->at <= '9') {
        json->at++;
    }
    if (json->at == digits || (*digits == '0' && json->at - digits > 1)) {
        return 0;
    }
    if (json->at < json->end && *json->at == '.') {
        const char *fraction = ++json->at;
        while (json->at < json->end && *json->at >= '0' && *json->at <= '9') {
            json->at++;
        }
        if (json->at == fraction) {
            return 0;
        }
    }
    if (json->at < json->end && memchr("eE+-.", *json->at, 5) != NULL) {
        return 0;
    }
    return json->at - start <= MAX_NUMBER;
}

static int skip_value(Json *json, int left) {
    Raw ignored;
    int first = peek(json);
    if (left == 0) {
        return 0;
    }
    switch (first) {
    case '"':
        return read_string(json, &ignored);
    case 't':
        return skip_word(json, "true");
    case 'f':
        return skip_word(json, "false");
    case 'n':
        return skip_word(json, "null");
    case '[':
    case '{':
        json->at++;
        if (expect(json, first == '[' ? ']' : '}')) {
            return 1;
        }
        for (;;) {
            if (first == '{' && !(read_string(json, &ignored) && expect(json, ':'))) {
                return 0;
            }
            if (!skip_value(json, left - 1)) {
                return 0;
            }
            if (expect(json, ',')) {
                continue;
            }
            return expect(json, first == '[' ? ']' : '}');
        }
    default:
        return (first == '-' || (first >= '0' && first <= '9')) && skip_number(json);
    }
}

/* One part: a text, a thought, a call of a tool or its answer, each key once. */
static int read_part(Json *json, Found *found, Message *message) {
    Raw key, kind = {0}, content = {0}, name = {0};
    int has_kind = 0, has_content = 0, has_name = 0, has_id = 0, has_arguments = 0, has_response = 0;
    if (!expect(json, '{')) {
        return 0;
    }
    do {
        if (!read_string(json, &key) || !expect(json, ':')) {
            return 0;
        }
        int ok = 0;
        if (is(key, "type") && !has_kind) {
            ok = has_kind = read_string(json, &kind);
        } else if (is(key, "content") && !has_content) {
            ok = has_content = read_string(json, &content);
        } else if (is(key, "name") && !has_name) {
            ok = has_name = read_string(json, &name);
        } else if (is(key, "id") && !has_id) {
            ok = has_id = skip_value(json, MAX_DEPTH);
        } else if (is(key, "arguments") && !has_arguments) {
            ok = has_arguments = peek(json) != '"' && skip_value(json, MAX_DEPTH);
        } else if (is(key, "response") && !has_response) {
            ok = has_response = skip_value(json, MAX_DEPTH);
        }
        if (!ok) {
            return 0;
        }
    } while (expect(json, ','));
    if (!expect(json, '}') || !has_kind) {
        return 0;
    }
    if (is(kind, "text")) {
        if (!has_content) {
            return 0;
        }
        if (content.size) {
            if (found->text_count >= MAX_TEXTS) {
                return 0;
            }
            found->text_count++;
            message->texts++;
            return add_bytes(&found->texts, &content, sizeof content) < 0 ? -1 : 1;
        }
        return 1;
    }
    if (is(kind, "reasoning")) {
        return has_content;
    }
    if (is(kind, "tool_call")) {
        return has_name;
    }
    return is(kind, "tool_call_response") && has_response;
}

static int read_message(Json *json, Found *found) {
    Message message = {0};
    Raw key, role = {0}, reason;
    int has_role = 0, has_parts = 0, has_reason = 0;
    message.first_text = found->text_count;
    if (!expect(json, '{')) {
        return 0;
    }
    do {
        if (!read_string(json, &key) || !expect(json, ':')) {
            return 0;
        }
        if (is(key, "role") && !has_role) {
            has_role = 1;
            if (!read_string(json, &role)) {
                return 0;
            }
        } else if (is(key, "finish_reason") && !has_reason) {
            has_reason = 1;
            if (!read_string(json, &reason)) {
                return 0;
            }
            if (!found->has_reason) {
                found->has_reason = 1;
                found->finish_reason = reason;
            }
        } else if (is(key, "parts") && !has_parts) {
            has_parts = 1;
            if (!expect(json, '[')) {
                return 0;
            }
            do { /* one without parts may say nothing: that is for Python */
                int ok = read_part(json, found, &message);
                if (ok != 1) {
                    return ok;
                }
            } while (expect(json, ','));
            if (!expect(json, ']')) {
                return 0;
            }
        } else {
            return 0;
        }
    } while (expect(json, ','));
    if (!expect(json, '}') || !has_role || !has_parts) {
        return 0;
    }
    message.is_user = is(role, "user");
    message.is_assistant = is(role, "assistant");
    if (!message.is_user && !message.is_assistant && !is(role, "system") && !is(role, "developer") && !is(role, "tool")) {
        return 0;
    }
    if (++found->count > MAX_MESSAGES) {
        return 0;
    }
    return add_bytes(&found->messages, &message, sizeof message) < 0 ? -1 : 1;
}

/* Add what a string stands for, up to `most` characters; return how many there were, counting no further than that. */
static int unescape(Raw raw, int most, Buffer *out) {
    int chars = 0;
    if (reserve(out, raw.size < 4 * most ? raw.size : 4 * most) < 0) {
        return -1;
    }
    for (const char *at = raw.at, *end = raw.at + raw.size; at < end;) {
        if (((unsigned char)*at & 0xC0) != 0x80 && chars++ == most) {
            return most;
        }
        if (*at != '\\') {
            out->start[out->size++] = *at++;
            continue;
        }
        char letter = at[1];
        at += 2;
        out->start[out->size++] = letter == 'n'   ? '\n'
                                  : letter == 't' ? '\t'
                                  : letter == 'r' ? '\r'
                                  : letter == 'b' ? '\b'
                                  : letter == 'f' ? '\f'
                                                  : letter;
    }
    return chars;
}

/* The beginning of a message's texts, stripped: "" where there is none, NULL with an exception. */
static PyObject *plain(Found *found, Message *message) {
    Buffer out = {0};
    const Raw *texts = (const Raw *)found->texts.start;
    int size = 0;
    for (int place = 0; place < message->texts && size < PREVIEW_CHARS; place++) {
        int chars;
        if ((place && add_bytes(&out, "\n", 1) < 0) ||
            (chars = unescape(texts[message->first_text + place], PREVIEW_CHARS, &out)) < 0) {
            drop(&out);
            return NULL;
        }
        size += chars;
    }
    PyObject *text = PyUnicode_DecodeUTF8(out.start ? out.start : "", out.size, NULL);
    drop(&out);
    if (text == NULL) {
        return NULL;
    }
    PyObject *stripped = PyObject_CallMethod(text, "strip", NULL);
    Py_DECREF(text);
    if (stripped == NULL) {
        return NULL;
    }
    PyObject *preview = PyUnicode_Substring(stripped, 0, PREVIEW_CHARS);
    Py_DECREF(stripped);
    return preview;
}

/* The preview is of the last user message, or of the first answer; else of the first message met that has a text. */
static int choose(Found *found, int is_answer, Said *said) {
    PyObject *fallback = NULL;
    Message *messages = (Message *)found->messages.start;
    for (int step = 0; step < found->count; step++) {
        Message *message = &messages[is_answer ? step : found->count - 1 - step];
        if (!message->texts) {
            Py_XDECREF(fallback);
            return 0;
        }
        PyObject *text = plain(found, message);
        if (text == NULL) {
            Py_XDECREF(fallback);
            return -1;
        }
        if (PyUnicode_GET_LENGTH(text) && (is_answer ? message->is_assistant : message->is_user)) {
            Py_XDECREF(fallback);
            said->preview = text;
            return 1;
        }
        if (fallback == NULL || !PyUnicode_GET_LENGTH(fallback)) {
            Py_XDECREF(fallback);
            fallback = text;
        } else {
            Py_DECREF(text);
        }
    }
    said->preview = fallback != NULL ? fallback : PyUnicode_FromStringAndSize("", 0);
    return said->preview == NULL ? -1 : 1;
}

static int read_list(Json *json, Found *found) {
    if (json->at == json->end || *json->at != '[') {
        return 0;
    }
    json->at++;
    do {
        int ok = read_message(json, found);
        if (ok != 1) {
            return ok;
        }
    } while (expect(json, ','));
    return expect(json, ']') && peek(json) == -1;
}

int read_messages(const char *text, Py_ssize_t size, int is_answer, Said *said) {
    Json json = {text, text + size};
    Found found = {0};
    said->preview = said->finish_reason = NULL;
    int ok = read_list(&json, &found);
    if (ok == 1) {
        ok = choose(&found, is_answer, said);
    }
    if (ok == 1 && found.has_reason) {
        Buffer out = {0};
        if (unescape(found.finish_reason, INT32_MAX / 8, &out) >= 0) {
            said->finish_reason = PyUnicode_DecodeUTF8(out.start ? out.start : "", out.size, NULL);
        }
        drop(&out);
        if (said->finish_reason == NULL) {
            Py_CLEAR(said->preview);
            ok = -1;
        }
    }
    drop(&found.messages);
    drop(&found.texts);
    return ok;
}
