moddev_add_test(service_contract_test
  SOURCES
    contract/service/transport_contract_test.cc
    contract/service/zmq_transport_test.cc
  LIBRARIES moddev_support_service
  KIND contract SANITIZE asan)
