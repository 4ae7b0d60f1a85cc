#include <moddev/client.h>

#include "client/src/session.h"
#include "protocol/codec.h"
#include "protocol/elf_image.h"
#include "protocol/uuid.h"
