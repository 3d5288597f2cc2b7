"""A model's file that is changed, shortened or deleted while a picture is drawn from it: one sentence, no crash."""
import os
import shutil
import subprocess
import time
import unittest

from program import DEMO, PROGRAM, ProgramTest

UNET = "unet/diffusion_pytorch_model.safetensors"


class LostFiles(ProgramTest):
    def ends(self, meanwhile, says):
        """Runs `meanwhile` on the UNet's file between two steps of a long run."""
        model = self.copy_of_demo()
        run = subprocess.Popen([PROGRAM, "generate", "--model", str(model), "--prompt", "a cat", "--steps", "900",
                                "--out", "cat.png"], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
        try:
            for line in run.stdout:
                if line.startswith("step"):
                    break
            meanwhile(model / UNET)
            _, complaint = run.communicate(timeout=120)
        finally:
            run.kill()
            run.wait()
        self.assertEqual(run.returncode, 2, complaint)
        self.assertEqual(len(complaint.splitlines()), 1, complaint)
        self.assertIn(UNET, complaint)
        self.assertIn(says, complaint)
        self.assertFalse((self.folder / "cat.png").exists())
        self.assertEqual([name for name in os.listdir(self.folder) if name != "model"], [])

    def test_shortened(self):
        self.ends(lambda path: os.truncate(path, 5000), "shortened")

    def test_emptied(self):
        self.ends(lambda path: open(path, "wb").close(), "shortened")

    def test_changed(self):
        def change(path):
            with open(path, "r+b") as file:
                file.seek(-2, 2)
                file.write(b"\0\0")
        self.ends(change, "changed")

    def test_replaced(self):
        def replace(path):
            shutil.copy(path, self.folder / "other")
            os.replace(self.folder / "other", path)
        self.ends(replace, "replaced")

    def test_deleted(self):
        self.ends(os.unlink, "deleted")

    def test_signals_from_others_still_end_the_program(self):
        run = subprocess.Popen([PROGRAM, "generate", "--model", str(DEMO), "--prompt", "a cat", "--steps", "900", "--out",
                                "cat.png"], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        run.stdout.readline()
        time.sleep(0.05)
        run.send_signal(7)  # SIGBUS
        run.stdout.read()
        self.assertEqual(run.wait(60), -7)


if __name__ == "__main__":
    unittest.main()
