/* Summaries below the results of a search are fetched from the other pages, which a browser does not allow from disk. */
if (location.protocol === "file:") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}
