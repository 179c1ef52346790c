/* Fields of protobuf messages, and the buffer that the other parts write to. */
#include "kernel.h"

static int read_varint(Slice *from, uint64_t *out) {
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        if (from->at == from->end) {
            return -1;
        }
        uint8_t byte = *from->at++;
        if (shift == 63 && byte > 1) {
            return -1;
        }
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *out = value;
            return 1;
        }
    }
    return -1;
}

static int read_fixed(Slice *from, int width, uint64_t *out) {
    if (size_of(*from) < width) {
        return -1;
    }
    uint64_t value = 0;
    for (int place = 0; place < width; place++) {
        value |= (uint64_t)from->at[place] << (8 * place);
    }
    from->at += width;
    *out = value;
    return 1;
}

int next_field(Slice *from, Field *field) {
    uint64_t tag, size;
    if (from->at == from->end) {
        return 0;
    }
    if (read_varint(from, &tag) < 0 || tag > UINT32_MAX || tag >> 3 == 0) {
        return -1;
    }
    field->number = (uint32_t)(tag >> 3);
    field->type = tag & 7;
    field->value = 0;
    field->bytes.at = field->bytes.end = NULL;
    switch (field->type) {
    case VARINT:
        return read_varint(from, &field->value);
    case FIXED64:
        return read_fixed(from, 8, &field->value);
    case FIXED32:
        return read_fixed(from, 4, &field->value);
    case BYTES:
        if (read_varint(from, &size) < 0 || size > (uint64_t)size_of(*from)) {
            return -1;
        }
        field->bytes.at = from->at;
        field->bytes.end = from->at + size;
        from->at += size;
        return 1;
    default:
        return -1;
    }
}

int nests_deeper(Slice bytes, int left) {
    Field field;
    if (left == 0) {
        return 1;
    }
    while (next_field(&bytes, &field) == 1) {
        if (field.type == BYTES && size_of(field.bytes) && nests_deeper(field.bytes, left - 1)) {
            return 1;
        }
    }
    return 0;
}

int reserve(Buffer *buffer, Py_ssize_t more) {
    if (buffer->room - buffer->size >= more) {
        return 0;
    }
    Py_ssize_t room = buffer->room ? buffer->room : 256;
    while (room - buffer->size < more) {
        if (room > PY_SSIZE_T_MAX / 2) {
            PyErr_NoMemory();
            return -1;
        }
        room *= 2;
    }
    char *start = PyMem_Realloc(buffer->start, room);
    if (start == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    buffer->start = start;
    buffer->room = room;
    return 0;
}

int add_bytes(Buffer *buffer, const void *bytes, Py_ssize_t size) {
    if (reserve(buffer, size) < 0) {
        return -1;
    }
    if (size) {
        memcpy(buffer->start + buffer->size, bytes, size);
    }
    buffer->size += size;
    return 0;
}

void drop(Buffer *buffer) {
    PyMem_Free(buffer->start);
    buffer->start = NULL;
    buffer->size = buffer->room = 0;
}

PyObject *taken(Buffer *buffer) {
    PyObject *bytes = PyBytes_FromStringAndSize(buffer->start, buffer->size);
    drop(buffer);
    return bytes;
}
