// Two programs that make one prediction of guidance each: here two threads.
#include <doctest/doctest.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "models/stable_diffusion.h"
#include "tensor/dispatch/dry_run.h"
#include "tests/check.h"

using namespace cutaway;

namespace {

// Each of two gives a tensor and gets the other's.
class Meeting {
 public:
  Tensor swap(int who, const Tensor& mine) {
    std::unique_lock lock(mutex_);
    given_[who] = mine;
    const int round = round_;
    if (++here_ == 2) {
      here_ = 0;
      taken_[0] = given_[1];
      taken_[1] = given_[0];
      ++round_;
      both_.notify_all();
    }
    both_.wait(lock, [&] { return round_ > round; });
    return taken_[who];
  }
  int rounds() const { return round_; }

 private:
  std::mutex mutex_;
  std::condition_variable both_;
  Tensor given_[2], taken_[2];
  int here_ = 0, round_ = 0;
};

}  // namespace

TEST_CASE("two that share guidance draw the picture of one, bit for bit") {
  const StableDiffusion model = StableDiffusion::load(CUTAWAY_SOURCE_DIR "/weights/demo");
  for (const int64_t batch : {1, 3}) {
    GenerateOptions options;
    options.prompt = "a cat";
    options.negative_prompt = "a dog";
    options.steps = 3;
    options.seed = 5;
    options.batch = batch;
    const GenerateResult one = model.generate(options);

    Meeting meeting;
    GenerateResult two[2];
    const auto run = [&](int who) {
      const GuidancePartner partner{.has_prompt = who == 0, .exchange = [&meeting, who](const Tensor& x) {
                                      return meeting.swap(who, x);
                                    }};
      two[who] = model.generate(options, {.partner = partner});
    };
    std::thread other([&] { run(1); });
    run(0);
    other.join();
    CHECK(meeting.rounds() == options.steps);
    CHECK_CLOSE(two[0].latent, one.latent, 0);
    CHECK_CLOSE(two[1].latent, one.latent, 0);  // both know it, so that both go on with the same numbers
    CHECK_CLOSE(two[0].picture, one.picture, 0);
    CHECK(two[1].picture.empty());  // decoded by the one with the prompt alone
  }
}
