/* A request of spans on its way to columns. */
#ifndef HELIOGRAPH_SPAN_H
#define HELIOGRAPH_SPAN_H

#include "attributes.h"

enum { MAX_COLUMNS = 128, MAX_ATTRIBUTES = 256, MAX_NESTING = 20, MAX_LABELS = 8 };

/* Columns that are made for each span, in the order of their names in reader.c. */
enum {
    TRACE_ID, SPAN_ID, PARENT_SPAN_ID, IS_ENTRY, START_TIME, DURATION, NAME, ATTRIBUTES, INPUT_TEXT, INPUT_PREVIEW,
    OUTPUT_TEXT, OUTPUT_PREVIEW, FINISH_REASON, IN_TOKENS, OUT_TOKENS, IN_COST, OUT_COST, COST, TOOL_NAME, REQUEST,
    TOOLS_TEXT, HOT_COUNT
};
/* What a template says beside its row. */
enum { NAME_IS_TOOL = 1, REASON_OF_ANSWER = 2, HAS_MEANING = 4 };
/* The entries of `request` that differ by span, in the order of `collectors.otlp.fast`. */
enum { SEED, MAX_TOKENS, ASKED_COUNT };
/* Why a span is refused, in the order of `collectors.otlp.spans.REFUSALS`. */
enum { ACCEPTED = -1, BAD_TRACE_ID, BAD_SPAN_ID, TOO_OLD, TOO_NEW, REFUSALS };

typedef struct {
    PyObject_HEAD
    PyObject *classify;
    PyObject *templates;
    PyObject *tools;
    PyObject *asked[ASKED_COUNT];
    Keys keys;
    Py_ssize_t columns;
    Py_ssize_t hot[HOT_COUNT];
} Reader;

typedef struct {
    Slice resource, scope;
    Py_ssize_t first, count;
} Scope;

typedef struct {
    Reader *reader;
    PyObject *make_base;
    PyObject *read_span;
    PyObject *check_span;
    Caps caps;
    uint64_t oldest, newest;
    Py_ssize_t max_spans;
    Buffer scopes;
    Buffer spans;
    PyObject *columns[MAX_COLUMNS];
    Py_ssize_t rows;
    long refused[REFUSALS];
    PyObject *long_rows;
    Buffer template_key;
} Request;

typedef struct {
    Slice bytes, trace_id, span_id, parent, name;
    uint64_t start, end;
    Py_ssize_t attributes;
    uint8_t kind, status;
    int by_python;
    Slice attribute[MAX_ATTRIBUTES]; /* last: not cleared */
} Span;

/* What was read of a span by its attributes. `column` of a label is its place among `columns`. */
typedef struct {
    PyObject *texts;
    PyObject *input, *output;
    PyObject *tools; /* as the column holds them, a new reference */
    PyObject *asked[ASKED_COUNT];
    int64_t tokens[2];
    int has_tokens[2];
    int is_long;
    int has_asked;
    int labels;
    struct {
        Py_ssize_t column;
        PyObject *text;
    } label[MAX_LABELS];
} Meaning;

/* Find the spans; -1 without an exception for a body that protobuf's own parser has to judge. */
int collect(Request *request, Slice body);
/* Read the fields of a span; -1 for one that is no message. */
int read_fields(Slice bytes, Span *span);
int refusal(const Request *request, const Span *span);
int is_zero(Slice bytes);

/* Read what a span's attributes say, and begin `template_key`: 1, 0 for a span that Python must read, -1 with an
   exception, or without one for what is no message. `meaning` is to be dropped either way. */
int read_attributes(Request *request, const Span *span, uint64_t serial, Meaning *meaning);

/* Give back what `meaning` holds. */
void drop_meaning(Meaning *meaning);

/* Put a whole row; -1 with an exception. */
int put_row(Request *request, PyObject *row);
/* Fill the row from a template, (row, rates or None, flags): 1, 0 for a span that Python must read, -1. */
int put_span(Request *request, const Span *span, const Meaning *meaning, PyObject *template);

#endif
