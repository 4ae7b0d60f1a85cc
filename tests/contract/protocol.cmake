moddev_add_test(protocol_contract_test
  SOURCES
    contract/protocol/blob_store_contract_test.cc
    contract/protocol/directory_blob_store_test.cc
  LIBRARIES moddev_protocol
  KIND contract SANITIZE asan tsan)
