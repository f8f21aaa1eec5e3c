/* A disk that takes no write any more: fsync waits for ever once the file that FSYNC_HANGS names is
 * there. Loaded by LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int hang(const char *name, int descriptor) {
    const char *file = getenv("FSYNC_HANGS");
    while (file != NULL && access(file, F_OK) == 0)
        usleep(10000);
    int (*real)(int) = dlsym(RTLD_NEXT, name);
    return real(descriptor);
}

int fsync(int descriptor) { return hang("fsync", descriptor); }
int fdatasync(int descriptor) { return hang("fdatasync", descriptor); }
