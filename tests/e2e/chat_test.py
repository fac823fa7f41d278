"""`infernum run` as a chat in a terminal: lines, commands, history, Ctrl-C."""
import json
import os
import pty
import re
import select
import stat
import termios
import time

import program
from program import SOURCE, STORYTELLER, Folder, run


class Terminal:
    """The program behind a pseudo-terminal."""

    def __init__(self, *args, env=None):
        self.text = ""
        self.child, self.master = pty.fork()
        if self.child == 0:
            os.chdir(SOURCE)
            os.execve(program.Program.path, [program.Program.path, *map(str, args)], program.environment({"TERM": "vt100", **(env or {})}))

    def type(self, text):
        os.write(self.master, text.encode())

    def assert_more(self, seconds, text="more"):
        """Reads what comes next, within this time."""
        if seconds <= 0 or not select.select([self.master], [], [], seconds)[0]:
            raise AssertionError("no %r in time in %r" % (text, self.text))
        try:
            self.text += os.read(self.master, 65536).decode(errors="replace")
        except OSError:
            raise AssertionError("the program ended before %r: %r" % (text, self.text)) from None

    def expect(self, text, seconds=20):
        """Waits for the text and returns what came up to it."""
        end = time.monotonic() + seconds * program.SLOWDOWN
        while text not in self.text:
            self.assert_more(end - time.monotonic(), text)
        before, self.text = self.text.split(text, 1)
        return before

    def expect_prompt(self):
        """Waits until the editor reads keys. Before that the terminal itself would echo them, and drop them at Ctrl-C."""
        before = self.expect(">>> ")
        end = time.monotonic() + 20 * program.SLOWDOWN
        while termios.tcgetattr(self.master)[3] & termios.ICANON:
            if time.monotonic() > end:
                raise AssertionError("the editor does not read")
            time.sleep(0.005)
        return before

    def expect_letter(self):
        while not re.search("[a-z]", self.text):
            self.assert_more(20 * program.SLOWDOWN)

    def code(self):
        """Reads to the end and returns the exit code."""
        try:
            while os.read(self.master, 65536):
                pass
        except OSError:
            pass
        os.close(self.master)
        return os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])


class Chat(Folder):
    def test_through_a_pipe(self):
        lines = "/help\nTell me of a fox.\n/stats\n/clear\n/system Speak.\n/hlep\n\n\"\"\"\nTell me\nof a fox.\n\"\"\"\n/bye\nnot read\n"
        code, out, err = run("run", STORYTELLER, "--interactive", "--temperature", 0, "--max-tokens", 6, stdin=lines)
        self.assertEqual(code, 0, err)
        self.assertEqual(out.count("\n"), 2, out)
        for word in ("/system TEXT", "tokens/s", "no such command: /hlep; did you mean /help?"):
            self.assertIn(word, err)

    def test_end_of_a_pipe_leaves(self):
        code, out, _ = run("run", STORYTELLER, "--interactive", "--temperature", 0, "--max-tokens", 3, stdin="Tell me of a fox.")
        self.assertEqual((code, out.count("\n")), (0, 1))

    def chat(self, *flags):
        return Terminal("run", STORYTELLER, "--seed", 1, *flags, env={"XDG_STATE_HOME": str(self.folder)})

    def test_terminal(self):
        chat = self.chat("--max-tokens", 6)
        chat.expect(">>> ")
        chat.type("/help\n")
        chat.expect("/bye")
        chat.expect(">>> ")
        chat.type("T\u00e9ll me of a fox.\n")
        chat.expect("T\u00e9ll me of a fox.")
        self.assertGreater(len(chat.expect(">>> ").strip()), 3, "an answer")
        chat.type("/stats\n")
        chat.expect("tokens/s")
        chat.expect(">>> ")
        chat.type("/nothing\n")
        chat.expect("no such command")
        chat.expect(">>> ")
        chat.type('"""\n')
        chat.expect("... ")
        chat.type('one\ntwo\n"""\n')
        chat.expect(">>> ")
        chat.type("/clear\n/system Be brief.\n")
        chat.expect(">>> ")
        chat.expect(">>> ")
        chat.type("/bye\n")
        self.assertEqual(chat.code(), 0)
        file = self.folder / "infernum/history"
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
        self.assertIn("me\\040of\\040a\\040fox.", file.read_text())

    def endless_model(self):
        """The storyteller without an end of generation, for contexts no test lives to see the end of."""
        folder = self.folder / "endless"
        folder.mkdir()
        for name in ("model.safetensors", "tokenizer.json", "chat_template.jinja"):
            if (STORYTELLER / name).exists():
                (folder / name).symlink_to(STORYTELLER / name)
        config = json.loads((STORYTELLER / "config.json").read_text())
        config.update({"max_position_embeddings": 1 << 20, "eos_token_id": None})
        (folder / "config.json").write_text(json.dumps(config))
        config = json.loads((STORYTELLER / "tokenizer_config.json").read_text())
        config["eos_token"] = None
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        return folder

    def test_interrupts_and_end_of_input(self):
        model = self.endless_model()
        state = self.folder / "state"
        state.mkdir()
        env = {"XDG_STATE_HOME": str(state)}
        chat = Terminal("run", model, "--seed", 1, "--no-history", "--max-model-len", "1m", env=env)
        chat.expect_prompt()
        chat.type("Tell me a long story of a fox.\n")
        chat.expect("fox.")
        chat.expect_letter()  # the answer has begun, and does not end by itself
        chat.type("\x03")
        chat.expect_prompt()
        for _ in range(3):  # drops the line, however often; no step towards leaving
            chat.type("half a line")
            chat.expect("half a line")
            chat.type("\x03")
            self.assertNotIn("leaves", chat.expect_prompt())
        chat.type('"""\n')
        chat.expect("... ")
        chat.type("\x03")
        self.assertNotIn("leaves", chat.expect_prompt())
        for _ in range(2):  # not in a row
            chat.type("\x03")
            chat.expect("leaves")
            chat.expect_prompt()
            chat.type("/bogus\n")
            chat.expect("no such command")
            chat.expect_prompt()
        chat.type("\x03")
        chat.expect("leaves")
        chat.expect_prompt()
        chat.type("half")
        chat.expect("half")
        chat.type("\x03")
        self.assertNotIn("leaves", chat.expect_prompt())
        chat.type("\x04")
        self.assertEqual(chat.code(), 0)
        self.assertEqual(list(state.iterdir()), [])
        chat = Terminal("run", model, "--no-history", env=env)
        chat.expect_prompt()
        chat.type("\x03")
        chat.expect_prompt()
        chat.type("\x03")
        self.assertEqual(chat.code(), 130)


if __name__ == "__main__":
    program.main()
