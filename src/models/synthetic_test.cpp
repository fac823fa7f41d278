// Published shapes: whole or their first layers.
#include "models/synthetic.h"

#include <gtest/gtest.h>

#include "models/families.h"
#include "models/test_models.h"

namespace infernum {
namespace {

TEST(Shapes, AllDescribeAModelOfAFamily) {
  for (std::string_view name : shape_names()) {
    const std::string json = shape_config(std::string(name) + "/2");
    const ConfigReader config(json);
    EXPECT_EQ(config.integer("num_hidden_layers"), 2) << name;
    EXPECT_NO_THROW(find_family(config)) << name;
  }
}

TEST(Shapes, MayBeCutToTheirFirstLayers) {
  EXPECT_EQ(ConfigReader(shape_config("deepseek-v2-lite")).integer("num_hidden_layers"), 27);
  EXPECT_EQ(ConfigReader(shape_config("deepseek-v2-lite/99")).integer("num_hidden_layers"), 27);
  for (const char* wrong : {"qwen3-0.6b/", "qwen3-0.6b/0", "qwen3-0.6b/-1", "qwen3-0.6b/2x"}) {
    const auto text = test::error_of([&] { shape_config(wrong); });
    EXPECT_NE(text.find("a number of layers stands behind the slash"), std::string::npos) << text;
  }
  EXPECT_NE(test::error_of([] { shape_config("none/2"); }).find("no such shape"), std::string::npos);
}

}  // namespace
}  // namespace infernum
