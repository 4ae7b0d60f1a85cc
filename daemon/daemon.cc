#include "daemon/daemon.h"

#include "daemon/versioner.h"
