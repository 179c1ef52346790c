/* What the parts of the kernel share. Everything here runs with the GIL held. */
#ifndef HELIOGRAPH_KERNEL_H
#define HELIOGRAPH_KERNEL_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

/* What Python and the kernel agreed on: counted up with each change of the calls between them, and of the columns or
   numbers that both sides name. `collectors.kernel` has the same number, and leaves a kernel of another build aside. */
enum { INTERFACE = 2 };

/* Bytes that are still to be read. */
typedef struct {
    const uint8_t *at;
    const uint8_t *end;
} Slice;

static inline Py_ssize_t size_of(Slice slice) { return slice.end - slice.at; }

/* One field of a protobuf message. `value` is that of a varint or of 4 or 8 fixed bytes. */
typedef struct {
    uint32_t number;
    uint8_t type;
    uint64_t value;
    Slice bytes;
} Field;

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

/* Return 1 with the next field, 0 at the end, -1 for anything but a plain well-formed field: groups, overlong numbers
   and lengths beyond the end are left to protobuf's own parser to judge. */
int next_field(Slice *from, Field *field);

/* Whether anything in the bytes, read as messages, nests deeper than `left` levels. */
int nests_deeper(Slice bytes, int left);

/* What the columns take of messages beside their text; both are new references, `finish_reason` may be NULL. */
typedef struct {
    PyObject *preview;
    PyObject *finish_reason;
} Said;

/* Return 1 for JSON that `semconv.canonical.read` would take as it came, 0 for anything that Python must read, -1 with
   an exception. `is_answer` is for the messages that a model gave. */
int read_messages(const char *text, Py_ssize_t size, int is_answer, Said *said);

extern PyTypeObject ReaderType;

PyObject *encode_strings(PyObject *module, PyObject *items);
PyObject *encode_low_cardinality(PyObject *module, PyObject *items);
PyObject *encode_maps(PyObject *module, PyObject *items);
PyObject *encode_numbers(PyObject *module, PyObject *args);
PyObject *long_literals(PyObject *module, PyObject *args);
PyObject *long_values(PyObject *module, PyObject *args);
PyObject *mentions(PyObject *module, PyObject *args);

/* How many bytes at the beginning surely need no look in a JSON string: no quote, no backslash, nothing below a blank.
   Eight at a time, so that the few before such a byte are left to the caller. */
static inline Py_ssize_t plain_bytes(const char *at, const char *end) {
    const uint64_t ones = 0x0101010101010101ull, highs = 0x8080808080808080ull;
    const char *start = at;
    for (uint64_t word; end - at >= 8; at += 8) {
        memcpy(&word, at, 8);
        uint64_t quote = word ^ (ones * '"'), slash = word ^ (ones * '\\');
        if ((((word - ones * 0x20) & ~word) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & highs) {
            break;
        }
    }
    return at - start;
}

/* A growing buffer. */
typedef struct {
    char *start;
    Py_ssize_t size;
    Py_ssize_t room;
} Buffer;

/* Make room for `more` bytes; -1 with MemoryError. */
int reserve(Buffer *buffer, Py_ssize_t more);
int add_bytes(Buffer *buffer, const void *bytes, Py_ssize_t size);
void drop(Buffer *buffer);
/* The content as bytes; the buffer is dropped either way. */
PyObject *taken(Buffer *buffer);

#endif
