/* test/fuzz/seeds.c: plays every file of the folders named as arguments to a fuzz target once: its corpus as an ordinary test. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEED_MAX = 16 << 20 };

/* The octets are copied to a block of exactly their size, so that ASan sees a read behind them. */
static int play(const char *folder, const char *file) {
    char *path;
    if (asprintf(&path, "%s/%s", folder, file) < 0)
        return -1;
    FILE *stream = fopen(path, "rb");
    uint8_t *room = malloc(SEED_MAX);
    size_t size = stream && room ? fread(room, 1, SEED_MAX, stream) : 0;
    int error = !stream || !room || ferror(stream) ? -1 : 0;
    uint8_t *exact = malloc(size ? size : 1);
    if (error == 0 && exact) {
        for (size_t i = 0; i < size; i++)
            exact[i] = room[i];
        LLVMFuzzerTestOneInput(exact, size);
    }
    if (error)
        fprintf(stderr, "%s cannot be read\n", path);
    if (stream)
        fclose(stream);
    free(exact);
    free(room);
    free(path);
    return error;
}

int main(int argc, char **argv) {
    size_t played = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        for (struct dirent *entry; folder && (entry = readdir(folder));) {
            if (entry->d_name[0] != '.' && play(argv[i], entry->d_name) < 0)
                return 1;
            played += entry->d_name[0] != '.';
        }
        if (folder)
            closedir(folder);
    }
    printf("%zu seeds\n", played);
    return played ? 0 : 1;
}
