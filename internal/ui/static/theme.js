// Sets the theme before the first paint. The choice is kept in the browser; without one, the system's applies.
const chosen = localStorage.getItem("theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
