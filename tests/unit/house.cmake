# The rules of the style check, each shown a text that breaks it. Debian's python3, whatever is first in PATH.
add_test(NAME house_style_test COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/unit/house/style_test.py)
set_tests_properties(house_style_test PROPERTIES LABELS unit TIMEOUT 60)
