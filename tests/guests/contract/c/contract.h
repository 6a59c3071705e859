/* What the files of the contract test's plugin share. */
#ifndef CONTRACT_H
#define CONTRACT_H

#include "nereid.h"

/* Adds words to what is said; a text of the call's. */
const char *say(const char *before, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The kind of the error that there is, which is forgotten; "allowed" where there is none. */
const char *refused(void);

const char *yes(bool answer);

/* Adds a line: name, shape and whole numbers of a tensor; nothing for NULL. */
const char *shown(const char *said, const char *name, nereid_tensor *tensor);

/* Each says what came of it; NULL on an error. */
const char *all_operations(nereid_tensor *x);
const char *all_of_tokenizers(void);
const char *all_of_state(void);
const char *all_of_metrics(void);
const char *all_of_files(void);
const char *all_of_secrets(void);
const char *all_of_http(void);
const char *all_of_control(void);
const char *all_of_spans(const nereid_request *request);

#endif
