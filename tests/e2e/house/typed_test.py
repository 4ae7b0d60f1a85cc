"""The example of a typed interface, as a project of its own: it runs, and a module built against another header is
refused with both sides named while the program goes on.

Usage: typed_test.py PREFIX   (where moddev was installed)
"""
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
import user_project_test as house  # noqa: E402

EXAMPLE = house.HERE.parents[2] / "client" / "examples" / "typed"


class Typed(house.Project):
    PROJECT = EXAMPLE

    def test_a_module_of_another_header_is_refused_and_the_program_goes_on(self):
        watch, watch_log = self.start("watch", house.PREFIX / "bin" / "moddev", "watch", "build")
        self.wait_for(watch, watch_log, "listening")
        shop, shop_log = self.start("shop", "build/shop")
        self.wait_for(shop, shop_log, r"^score = 20 of 100$")

        self.edit("scorer.cc", "2 * order", "3 * order")
        self.run_in_project("cmake", "--build", "build", "--target", "scorer")
        self.wait_for(shop, shop_log, r"^score = 30 of 100$")

        # The module is rebuilt, the program is not.
        self.edit("scoring.h", "(*score)(const Order&)", "(*score)(const Order&, int)")
        self.edit("scorer.cc", "score(const Order& order)", "score(const Order& order, int)")
        self.run_in_project("cmake", "--build", "build", "--target", "scorer")
        why = (r"it was built against layout [0-9a-f]{12} of interface shop::Scoring, this program against "
               r"[0-9a-f]{12}: 'score' of shop::Scoring is float64\(\*\)\(const shop::Order&\) here and "
               r"float64\(\*\)\(const shop::Order&, int32\) there; build both from the same header")
        self.wait_for(shop, shop_log, "^refused scorer: " + why + "$")
        self.wait_for(watch, watch_log, "refused +scorer 3 +shop: " + why)

        self.edit("scoring.h", "(const Order&, int)", "(const Order&)")
        self.edit("scorer.cc", "score(const Order& order, int)", "score(const Order& order)")
        self.edit("scorer.cc", "3 * order", "4 * order")
        self.run_in_project("cmake", "--build", "build", "--target", "scorer")
        self.wait_for(shop, shop_log, r"^score = 40 of 100$")

        # A version that does not offer the interface any more.
        self.edit("scorer.cc", "MODDEV_PROVIDE(Scoring, scoring)", "static const void* const unused = &scoring;")
        self.run_in_project("cmake", "--build", "build", "--target", "scorer")
        self.wait_for(shop, shop_log, "^refused scorer: it does not offer interface shop::Scoring, which this program "
                                      r"uses; put MODDEV_PROVIDE\(Scoring, OBJECT\) into the module$")


if __name__ == "__main__":
    house.PREFIX = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
