// From a manifest and bytes to a view: all modules of an epoch, or the reasons why not. What did not change,
// and needs nothing that changed, is taken over from the live view; the rest is tried in a child process if
// its own code runs while it is loaded (trials.h), and loaded beside the live one in the order of the
// dependencies. Nothing of the live view is touched, and nothing stays loaded when a module fails.
//
// The image of a native module has a name made of its closure digest, so that processes share it. If that
// very image is still mapped (an older epoch with the same content is held, or could not be unloaded, or
// another client of the process runs it), glibc would hand out the old instance with its old state: then a
// variant of the image is made, the same under another name, for all that is loaded in this transaction.
#pragma once

#include <functional>
#include <string>

#include "client/src/loader.h"
#include "client/src/native_images.h"
#include "client/src/trials.h"
#include "protocol/blob_store.h"

namespace moddev {

/// `images`: where private copies go, or why there is no such place; then only native modules fail.
/// `on_loading` is called before any code of a module runs here, with "version 3 of module 'scorer'" for
/// each: from the first call on neither the cache nor `trials` is used any more. May be empty.
[[nodiscard]] LoadOutcome run_transaction(const LoadPlan& plan, BlobStore& cache,
                                          const Result<std::shared_ptr<NativeImages>>& images, Trials& trials,
                                          const std::function<void(const std::string&)>& on_loading = {});

}  // namespace moddev
