/* Copies a tree by handles: the content of files never comes here. */
#include <stdlib.h>
#include <string.h>

#include "driver.h"

typedef mica_host_directory_attributes_t attributes;
typedef mica_host_directory_entry_t entry;
typedef mica_host_directory_own_file_t own_file;

/* A name on the way from the top. */
typedef struct way {
    const struct way *above;
    name name;
} way;

/* The first name of an inode that has several. */
typedef struct linked {
    struct linked *next;
    uint64_t device, inode;
    way *first;
} linked;

typedef struct {
    directory top;
    linked *inodes[4096];
} copier;

static bool copy_directory(copier *copier, directory source, directory target, const way *way, failure *failure);

static void close_file(own_file *handle) {
    if (handle->__handle) mica_host_directory_file_drop_own(*handle);
}

static void close_listing(mica_host_directory_own_listing_t *handle) {
    if (handle->__handle) mica_host_directory_listing_drop_own(*handle);
}

#define CLOSED_FILE __attribute__((cleanup(close_file)))

static mica_host_directory_attribute_changes_t changes(const attributes *found) {
    mica_host_directory_attribute_changes_t changes = {0};
    changes.owner.is_some = true;
    changes.owner.val = (mica_host_directory_ownership_t){found->uid, found->gid};
    changes.mode.is_some = found->kind != MICA_HOST_DIRECTORY_NODE_KIND_SYMLINK; /* which has none */
    changes.mode.val = found->mode;
    changes.modified.is_some = true;
    changes.modified.val = found->modified;
    return changes;
}

/* A copy that outlives the page of the listing that the names came with. Memory that is out ends the call. */
static way *keep(const way *from) {
    if (from == NULL) return NULL;
    way *kept = malloc(sizeof *kept);
    uint8_t *bytes = malloc(from->name.len);
    if (kept == NULL || bytes == NULL) abort();
    memcpy(bytes, from->name.ptr, from->name.len);
    *kept = (way){keep(from->above), {bytes, from->name.len}};
    return kept;
}

/* The first name of the node, or NULL after noting that `here` is it. */
static const way *first_name(copier *copier, const attributes *found, const way *here) {
    linked **slot = &copier->inodes[(found->inode ^ found->device) % (sizeof copier->inodes / sizeof *copier->inodes)];
    for (linked *known = *slot; known != NULL; known = known->next)
        if (known->inode == found->inode && known->device == found->device) return known->first;
    linked *new = malloc(sizeof *new);
    if (new == NULL) abort();
    *new = (linked){*slot, found->device, found->inode, keep(here)};
    *slot = new;
    return NULL;
}

/* Opens the directory of the name that `of` ends with. */
static bool open_above(directory top, const way *of, own_directory *opened, failure *failure) {
    own_directory higher CLOSED = NO_DIRECTORY;
    directory from = top;
    if (of->above != NULL) {
        if (!open_above(top, of->above, &higher, failure)) return false;
        from = lend(higher);
    }
    return mica_host_directory_method_directory_open_directory(from, (name *)&of->name, opened, failure);
}

/* Gives the node that was copied as `first` a further name. */
static bool add_name(directory top, const way *first, directory target, name *new, failure *failure) {
    own_directory above CLOSED = NO_DIRECTORY;
    directory from = top;
    if (first->above != NULL) {
        if (!open_above(top, first->above, &above, failure)) return false;
        from = lend(above);
    }
    return mica_host_directory_method_directory_link(from, (name *)&first->name, target, new, failure);
}

static bool copy_file(directory source, directory target, entry *entry, failure *failure) {
    own_file made CLOSED_FILE = {0}, original CLOSED_FILE = {0};
    if (!mica_host_directory_method_directory_create_file(target, &entry->name, entry->attributes.mode, &made, failure))
        return false;
    mica_host_directory_borrow_file_t file = mica_host_directory_borrow_file(made);
    mica_host_directory_copied_t how;
    if (entry->attributes.size > 0
        && (!mica_host_directory_method_directory_open_file(source, &entry->name, &original, failure)
            || !mica_host_directory_method_file_copy_content(
                file, mica_host_directory_borrow_file(original), &how, failure)))
        return false;
    mica_host_directory_attribute_changes_t all = changes(&entry->attributes);
    return mica_host_directory_method_file_set_attributes(file, &all, failure);
}

static bool copy_symlink(directory source, directory target, name *name, failure *failure) {
    proto_list_u8_t to;
    if (!mica_host_directory_method_directory_read_link(source, name, &to, failure)) return false;
    bool done = mica_host_directory_method_directory_create_symlink(target, name, &to, failure);
    proto_list_u8_free(&to);
    return done;
}

static bool copy_special(directory target, entry *entry, failure *failure) {
    const attributes *found = &entry->attributes;
    mica_host_directory_node_t node = {0};
    switch (found->kind) {
    case MICA_HOST_DIRECTORY_NODE_KIND_BLOCK_DEVICE:
        node.tag = MICA_HOST_DIRECTORY_NODE_BLOCK_DEVICE;
        node.val.block_device = (proto_tuple2_u32_u32_t){found->major, found->minor};
        break;
    case MICA_HOST_DIRECTORY_NODE_KIND_CHARACTER_DEVICE:
        node.tag = MICA_HOST_DIRECTORY_NODE_CHARACTER_DEVICE;
        node.val.character_device = (proto_tuple2_u32_u32_t){found->major, found->minor};
        break;
    case MICA_HOST_DIRECTORY_NODE_KIND_SOCKET:
        node.tag = MICA_HOST_DIRECTORY_NODE_SOCKET;
        break;
    default:
        node.tag = MICA_HOST_DIRECTORY_NODE_FIFO;
    }
    return mica_host_directory_method_directory_create_node(target, &entry->name, &node, found->mode, failure);
}

static bool copy_node(directory source, directory target, entry *entry, failure *failure) {
    if (entry->attributes.kind == MICA_HOST_DIRECTORY_NODE_KIND_REGULAR) return copy_file(source, target, entry, failure);
    mica_host_directory_attribute_changes_t all = changes(&entry->attributes);
    bool made = entry->attributes.kind == MICA_HOST_DIRECTORY_NODE_KIND_SYMLINK
        ? copy_symlink(source, target, &entry->name, failure)
        : copy_special(target, entry, failure);
    return made && mica_host_directory_method_directory_set_entry_attributes(target, &entry->name, &all, failure);
}

static bool copy_inner(copier *copier, directory source, directory target, entry *entry, const way *here, failure *failure) {
    own_directory inner CLOSED = NO_DIRECTORY, made CLOSED = NO_DIRECTORY;
    return mica_host_directory_method_directory_open_directory(source, &entry->name, &inner, failure)
        && mica_host_directory_method_directory_create_directory(
            target, &entry->name, entry->attributes.mode, &made, failure)
        && copy_directory(copier, lend(inner), lend(made), here, failure);
}

static bool copy_entry(copier *copier, directory source, directory target, entry *entry, const way *above, failure *failure) {
    way here = {above, entry->name};
    if (entry->attributes.kind == MICA_HOST_DIRECTORY_NODE_KIND_DIRECTORY)
        return copy_inner(copier, source, target, entry, &here, failure);
    if (entry->attributes.links > 1) {
        const way *first = first_name(copier, &entry->attributes, &here);
        if (first != NULL) return add_name(copier->top, first, target, &entry->name, failure);
    }
    return copy_node(source, target, entry, failure)
        && mica_host_directory_method_directory_copy_xattrs(target, &entry->name, source, &entry->name, failure);
}

/* All entries, page by page: an empty page is the end. */
static bool copy_entries(copier *copier, directory source, directory target, const way *way, failure *failure) {
    __attribute__((cleanup(close_listing))) mica_host_directory_own_listing_t listing = {0};
    proto_list_string_t no_xattrs = {0};
    if (!mica_host_directory_method_directory_list(source, &no_xattrs, &listing, failure)) return false;
    for (;;) {
        mica_host_directory_list_entry_t page;
        if (!mica_host_directory_method_listing_next(mica_host_directory_borrow_listing(listing), &page, failure))
            return false;
        bool last = page.len == 0, copied = true;
        for (size_t i = 0; copied && i < page.len; i++)
            copied = copy_entry(copier, source, target, &page.ptr[i], way, failure);
        mica_host_directory_list_entry_free(&page);
        if (last || !copied) return copied;
    }
}

static bool copy_directory(copier *copier, directory source, directory target, const way *way, failure *failure) {
    if (!copy_entries(copier, source, target, way, failure)) return false;
    /* After all that is in it: making a name changes the time of its directory. */
    proto_list_string_t no_xattrs = {0};
    entry own;
    if (!mica_host_directory_method_directory_get_attributes(source, &no_xattrs, &own, failure)) return false;
    mica_host_directory_attribute_changes_t all = changes(&own.attributes);
    mica_host_directory_entry_free(&own);
    return mica_host_directory_method_directory_set_attributes(target, &all, failure)
        && mica_host_directory_method_directory_copy_own_xattrs(target, source, failure);
}

bool copy_tree(directory source, directory target, failure *failure) {
    static copier copier;
    copier.top = target;
    return copy_directory(&copier, source, target, NULL, failure);
}
