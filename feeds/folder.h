/* feeds/folder.h: the manifest of a MISP feed folder. Pure. */
#ifndef SUNDEW_FEEDS_FOLDER_H
#define SUNDEW_FEEDS_FOLDER_H

#include <stdbool.h>

#include "config/json_source.h"

/* Visible because attempts keep arrays of them. */
struct folder_event {
    char uuid[37];
    char timestamp[32]; /* as the manifest writes it */
    bool wanted;        /* new or changed: to be fetched */
    bool fetched;       /* its store lies beside the old one */
};

/* Reads {"uuid": {"timestamp": "...", ...}, ...}, sorted by uuid; keys that aren't uuids are passed over, since a name becomes a
 * part of a URL. *events is malloced. 0, -EBADMSG (not a manifest), -E2BIG (more than a million), -ENOMEM, or the source's. */
int folder_manifest(json_source *source, void *context, struct folder_event **events, size_t *count);

#endif
