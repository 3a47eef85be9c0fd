// The console's own behaviour: the status page refreshes itself, grave buttons ask first, passwords are judged while
// they are typed. Everything works without it; it only saves clicks.
"use strict";

(() => {
  const LOST_AFTER = 2;

  function keepFresh(live) {
    const notice = document.getElementById("live-lost");
    const pause = Number(live.dataset.refreshSeconds) * 1000;
    let failures = 0;

    async function refresh() {
      if (!document.hidden) {
        try {
          const answer = await fetch(live.dataset.refreshUrl, { headers: { Accept: "text/html" } });
          if (answer.redirected) {
            location.reload();
            return;
          }
          if (!answer.ok) throw new Error(String(answer.status));
          show(await answer.text());
          failures = 0;
          if (hasEnded()) return;
        } catch {
          failures += 1;
        }
        notice.hidden = failures < LOST_AFTER;
      }
      setTimeout(refresh, pause);
    }

    function hasEnded() {
      return live.matches("[data-refresh-ended]") || live.querySelector("[data-refresh-ended]") !== null;
    }

    function show(html) {
      const focused = document.activeElement;
      const value = live.contains(focused) ? focused.value : null;
      live.innerHTML = html;
      if (value) live.querySelector(`button[value="${CSS.escape(value)}"]`)?.focus();
    }

    if (!hasEnded()) setTimeout(refresh, pause);
  }

  function judge(password, minimum) {
    const missing = minimum - password.length;
    if (!password) return ["", false];
    if (/\s/.test(password)) return ["Spaces are not possible in a password.", false];
    if (missing > 0) return [missing === 1 ? "One more character is needed." : `${missing} more characters are needed.`, false];
    if (password.length < minimum + 4) return ["Long enough. A few more characters make it much stronger.", true];
    return ["Good length.", true];
  }

  function judgeWhileTyping(input) {
    const verdict = document.createElement("p");
    verdict.className = "pb-strength";
    verdict.setAttribute("aria-live", "polite");
    (input.closest("[x-data]") ?? input).after(verdict);
    input.addEventListener("input", () => {
      const [text, good] = judge(input.value, Number(input.dataset.passwordMinimum));
      verdict.textContent = text;
      verdict.toggleAttribute("data-good", good);
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    const live = document.getElementById("live");
    if (live) keepFresh(live);
    document.querySelectorAll("input[data-password-minimum]").forEach(judgeWhileTyping);
    document.addEventListener("click", (event) => {
      const question = event.target.closest("[data-confirm]")?.dataset.confirm;
      if (question && !confirm(question)) event.preventDefault();
    });
  });
})();
