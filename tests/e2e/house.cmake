# The installed package as strangers use it, and the demonstration of tools/quickstart. Both want all of moddev built,
# as it is when tests run; the prefix is filled anew for each run.
set(house_prefix ${PROJECT_BINARY_DIR}/prefix)
add_test(NAME house_install COMMAND ${CMAKE_COMMAND} --install ${PROJECT_BINARY_DIR} --prefix ${house_prefix})
set_tests_properties(house_install PROPERTIES LABELS e2e TIMEOUT 60 FIXTURES_SETUP house_prefix)

add_test(NAME house_user_project_test
  COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/e2e/house/user_project_test.py ${house_prefix})
add_test(NAME house_typed_test
  COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/e2e/house/typed_test.py ${house_prefix})
add_test(NAME house_demo_test COMMAND ${PROJECT_SOURCE_DIR}/tools/demo/run ${house_prefix})
set_tests_properties(house_user_project_test house_typed_test house_demo_test PROPERTIES
  LABELS e2e TIMEOUT 300 FIXTURES_REQUIRED house_prefix)

if(TARGET moddev)
  add_test(NAME house_service_unit
    COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/e2e/house/service_unit_test.py
      --moddev $<TARGET_FILE:moddev> --compiler ${CMAKE_C_COMPILER}
      --unit ${PROJECT_SOURCE_DIR}/tools/packaging/moddev@.service.in)
  set_tests_properties(house_service_unit PROPERTIES LABELS e2e TIMEOUT 120 SKIP_RETURN_CODE 77)
endif()
