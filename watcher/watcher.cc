#include "watcher/watcher.h"

#include "watcher/event_source.h"
#include "watcher/file_system.h"
