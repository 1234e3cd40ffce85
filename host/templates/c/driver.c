/* A storage driver in C: every layer is a complete copy of its parent.
 *
 *     <room>/files   the layer's files
 *
 * It exports `proto-driver` and knows nothing of archives: Mica composes it with its naive-diff component. An exported function
 * returns true for success. What it leaves allocated goes with its instance, which ends with the call. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver.h"

typedef proto_string_t text;
typedef mica_host_home_own_staged_layer_t staged_layer;
typedef exports_mica_driver_proto_driver_error_t error;

static const name FILES = {(uint8_t *)"files", 5};

/* The error for a failed host call: what was being done, and what the host answered. The host shows both. */
static bool failed(error *error, const char *doing, const text *id, failure failure) {
    char *line = NULL;
    int length = asprintf(&line, "%s layer `%.*s`", doing, (int)id->len, id->ptr);
    error->tag = MICA_DRIVER_TYPES_ERROR_HOST;
    error->val.host.doing = (text){(uint8_t *)line, length < 0 ? 0 : (size_t)length};
    error->val.host.failure = failure;
    return false;
}

void exports_mica_driver_proto_driver_describe(exports_mica_driver_proto_driver_description_t *ret) {
    memset(ret, 0, sizeof *ret);
    proto_string_dup(&ret->name, "my-driver");
    proto_string_dup(&ret->version, "0.1.0");
    proto_string_dup(&ret->summary, "Copies every layer, in C.");
    ret->content.tag = MICA_DRIVER_TYPES_OWN_CONTENT_COMPLETE;
    text files;
    proto_string_dup(&files, "files");
    ret->content.val.complete = (mica_driver_types_room_name_t){files.ptr, files.len};
}

bool exports_mica_driver_proto_driver_init(proto_list_tuple2_string_string_t *options, error *err) {
    if (options->len == 0) return true;
    text *key = &options->ptr[0].f0;
    char *line = NULL;
    int length = asprintf(&line, "option `%.*s` is not known; there are none", (int)key->len, key->ptr);
    err->tag = MICA_DRIVER_TYPES_ERROR_INVALID;
    err->val.invalid = (text){(uint8_t *)line, length < 0 ? 0 : (size_t)length};
    return false;
}

/* The directory with a layer's files. */
static bool open_files(text *id, own_directory *files, failure *failure) {
    own_directory room CLOSED = NO_DIRECTORY;
    return mica_host_home_open(id, &room, failure)
        && mica_host_directory_method_directory_open_directory(lend(room), (name *)&FILES, files, failure);
}

static bool fill(staged_layer staged, text *maybe_parent, failure *failure) {
    own_directory room CLOSED = NO_DIRECTORY, target CLOSED = NO_DIRECTORY, source CLOSED = NO_DIRECTORY;
    if (!mica_host_home_method_staged_layer_room(mica_host_home_borrow_staged_layer(staged), &room, failure)
        || !mica_host_directory_method_directory_create_directory(lend(room), (name *)&FILES, 0755, &target, failure))
        return false;
    return maybe_parent == NULL
        || (open_files(maybe_parent, &source, failure) && copy_tree(lend(source), lend(target), failure));
}

/* Stage, fill, publish. Until the last call no one sees the layer; if anything fails, nothing of it stays. */
bool exports_mica_driver_proto_driver_create(text *id, text *maybe_parent,
        exports_mica_driver_proto_driver_create_options_t *options, error *err) {
    (void)options;
    staged_layer staged;
    failure why;
    if (mica_host_home_stage(&staged, &why) && fill(staged, maybe_parent, &why) && mica_host_home_publish(staged, id, &why))
        return true;
    return failed(err, "create", id, why);
}

bool exports_mica_driver_proto_driver_create_read_write(text *id, text *maybe_parent,
        exports_mica_driver_proto_driver_create_options_t *options, error *err) {
    return exports_mica_driver_proto_driver_create(id, maybe_parent, options, err);
}

bool exports_mica_driver_proto_driver_remove(text *id, error *err) {
    failure why;
    return mica_host_home_discard(id, &why) || failed(err, "remove", id, why);
}

/* A view is a mount that the host attaches; `bind` shows one directory. It is returned after the handles on it are closed. */
bool exports_mica_driver_proto_driver_get(text *id, exports_mica_driver_proto_driver_access_t access,
        text *maybe_mount_label, exports_mica_driver_proto_driver_own_mount_t *ret, error *err) {
    (void)maybe_mount_label;
    own_directory files CLOSED = NO_DIRECTORY;
    failure why;
    if (open_files(id, &files, &why) && mica_host_mounts_bind(lend(files), access, ret, &why)) return true;
    return failed(err, "mount", id, why);
}

bool exports_mica_driver_proto_driver_put(text *id, error *err) {
    (void)id, (void)err;
    return true;
}

bool exports_mica_driver_proto_driver_exists(text *id, bool *ret, error *err) {
    failure why;
    return mica_host_home_exists(id, ret, &why) || failed(err, "look for", id, why);
}

bool exports_mica_driver_proto_driver_status(proto_list_tuple2_string_string_t *ret, error *err) {
    (void)err;
    memset(ret, 0, sizeof *ret);
    return true;
}

bool exports_mica_driver_proto_driver_metadata(text *id, proto_list_tuple2_string_string_t *ret, error *err) {
    (void)id;
    return exports_mica_driver_proto_driver_status(ret, err);
}

bool exports_mica_driver_proto_driver_cleanup(error *err) {
    (void)err;
    return true;
}
