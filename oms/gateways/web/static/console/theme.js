// Theme: set before anything is painted. What the person chose, else what the system has.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("oms.theme");
  } catch {
    chosen = null; // storage is switched off: the system's theme
  }
  const asked = new URLSearchParams(location.hash.slice(1)).get("theme");
  const system = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
  const known = (theme) => theme === "light" || theme === "dark";
  document.documentElement.dataset.theme = [asked, chosen].find(known) ?? system;
})();
