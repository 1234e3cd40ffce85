/* What both files of the driver use: short names for the generated types, and handles that close themselves. */
#pragma once

#include "bindings/proto.h"

typedef mica_host_types_failure_t failure;
typedef mica_host_directory_name_t name;
typedef mica_host_directory_own_directory_t own_directory;
typedef mica_host_directory_borrow_directory_t directory;

/* No handle is 0. */
#define NO_DIRECTORY ((own_directory){0})

static inline void close_directory(own_directory *handle) {
    if (handle->__handle) mica_host_directory_directory_drop_own(*handle);
}

/* A directory's handle that is dropped when its scope ends, whichever way. */
#define CLOSED __attribute__((cleanup(close_directory)))

/* A handle as an argument. */
static inline directory lend(own_directory handle) { return mica_host_directory_borrow_directory(handle); }

/* Copies all of `source`, its own attributes included, into the empty directory `target`. False: `failure` says why. */
bool copy_tree(directory source, directory target, failure *failure);
