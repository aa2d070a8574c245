// Sets the theme before the first paint. The choice is kept in the browser; without one, the system's applies.
if (localStorage.theme) document.documentElement.dataset.theme = localStorage.theme;
