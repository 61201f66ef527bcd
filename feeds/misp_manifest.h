/* feeds/misp_manifest.h: the manifest of a MISP feed folder: which events there are, and when each was last edited. */
#ifndef SUNDEW_FEEDS_MISP_MANIFEST_H
#define SUNDEW_FEEDS_MISP_MANIFEST_H

#include <stdint.h>

#include "config/json_source.h"

enum { MISP_UUID_LENGTH = 36, MISP_MANIFEST_WHY_MAX = 192 };

/* Called for each event: its uuid (checked to be one: it becomes part of a URL), lower case, and its timestamp (0 if there is
 * none). A non-zero return stops the reading, which returns it. */
typedef int misp_manifest_event(void *context, const char *uuid, int64_t timestamp);

/* 0; -EBADMSG with why filled in when it isn't a manifest (HTML, cut off, no event in it that has a uuid); other -errno. An empty
 * object is a manifest without events. */
int misp_manifest_read(json_source *source, void *source_context, misp_manifest_event *event, void *context,
                       char why[MISP_MANIFEST_WHY_MAX]);

#endif
