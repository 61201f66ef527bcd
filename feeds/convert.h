/* feeds/convert.h: `sundew convert`: any format to a policy file, a response policy zone or a list of names; offline. */
#ifndef SUNDEW_FEEDS_CONVERT_H
#define SUNDEW_FEEDS_CONVERT_H

/* from: a format's name or "snapshot"; to: "json", "rpz" or "domains"; file: a path, "-" for stdin, or the folder of a MISP feed.
 * What a zone without options would take is written to stdout: revoked, expired and to_ids:false indicators, hosts out of URLs and
 * ThreatFox's other threat types are left out, and so is what the guard refuses. What could not be read or expressed is said on
 * stderr. Exit code: 0, or 1 with nothing on stdout if the input isn't of the format, is cut off or can't be read. */
int convert(const char *from, const char *to, const char *file);

#endif
