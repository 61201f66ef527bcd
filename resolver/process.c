/* resolver/process.c: what the kernel says of this process. See process.h. */
#include "resolver/process.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static void read_memory(struct process_figures *figures) {
    unsigned long long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return;
    if (fscanf(file, "%llu %llu", &pages, &resident) == 2) {
        figures->virtual_bytes = (double)pages * (double)sysconf(_SC_PAGESIZE);
        figures->resident_bytes = (double)resident * (double)sysconf(_SC_PAGESIZE);
    }
    fclose(file);
}

static double started = -1;

/* Field 22 of proc(5)'s stat, in ticks since the machine came up; the fields before it are counted from the last ')'. Read once:
 * the time of day is adjusted, and who watches the figure takes any change for a new start. */
static void read_start(void) {
    char line[1024];
    unsigned long long ticks = 0;
    struct timespec now, up;
    FILE *file = fopen("/proc/self/stat", "re");
    if (file == NULL)
        return;
    const char *rest = fgets(line, sizeof line, file) != NULL ? strrchr(line, ')') : NULL;
    fclose(file);
    if (rest == NULL ||
        sscanf(rest + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu", &ticks) != 1)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &up);
    started =
        (double)(now.tv_sec - up.tv_sec) + (double)(now.tv_nsec - up.tv_nsec) / 1e9 + (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static void count_fds(struct process_figures *figures) {
    struct rlimit limit;
    DIR *folder = opendir("/proc/self/fd");
    if (folder != NULL) {
        figures->open_fds = -3; /* "." and ".." and the folder's own */
        while (readdir(folder) != NULL)
            figures->open_fds++;
        closedir(folder);
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        figures->max_fds = (double)limit.rlim_cur;
}

void process_figures(struct process_figures *figures) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct timespec cpu;
    *figures = (struct process_figures){-1, -1, -1, -1, -1, -1};
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
        figures->cpu_seconds = (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9;
    read_memory(figures);
    pthread_once(&once, read_start);
    figures->start_seconds = started;
    count_fds(figures);
}
