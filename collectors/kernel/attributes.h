/* How the attributes of a span are read; see attributes.c. */
#ifndef HELIOGRAPH_ATTRIBUTES_H
#define HELIOGRAPH_ATTRIBUTES_H

#include "kernel.h"

/* What is done with the value of a key, as `collectors.otlp.fast` says of each. */
enum {
    UNMAPPED = 0, /* kept, and means nothing */
    SHAPING = 1,  /* part of what spans of one template have in common */
    BY_PYTHON = 2,
    INPUT = 3, /* messages */
    OUTPUT = 4,
    INPUT_TOKENS = 5,
    OUTPUT_TOKENS = 6,
    NAMELESS = 7,       /* a label of which only matters that it is there */
    TOOLS = 8,          /* definitions of tools, as a text that Python has read before */
    FIRST_LABEL = 16,   /* a label for the column `class - FIRST_LABEL` */
    FIRST_ASKED = 256   /* a whole number for the entry `class - FIRST_ASKED` of the column `request` */
};

typedef struct {
    PyObject *text;
    uint32_t number;
    int class;
} Key;

typedef struct {
    Key **slots;
    Py_ssize_t room;
    Py_ssize_t count;
} Keys;

/* The key with these bytes; NULL without an exception where there is none or no room for one, with `classify` asked
   for one that is new. */
Key *find_key(Keys *keys, Slice bytes, PyObject *classify);
void drop_keys(Keys *keys);

/* Lengths within which a text is stored as it came. */
typedef struct {
    Py_ssize_t surely_fits; /* characters */
    Py_ssize_t max_bytes;
    Py_ssize_t max_key_chars;
    Py_ssize_t max_attributes;
    int cuts_blobs;
} Caps;

/* A value as the tables hold it. */
typedef struct {
    uint8_t kind; /* the number of AnyValue's field, 0 for none */
    int64_t number;
    PyObject *text;
    int is_long;
} Value;

/* Return 1 with a new reference in `value->text`, 0 for one that Python must read, -1 with an exception or, without
   one, for bytes that are no message. */
int read_value(Slice bytes, const Caps *caps, Value *value);

#endif
