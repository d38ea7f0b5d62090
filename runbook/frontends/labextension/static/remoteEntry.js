/* A JupyterLab extension as it is loaded, written by hand so that nothing has to be built: a container of webpack's
 * module federation, of which JupyterLab calls `init` with what it shares, and `get` for the extension.
 *
 * It adds a card to the launcher for each notebook, in order, shows titles for names in the file browser, and runs the
 * cells up to the form when a notebook is opened with a kernel that has not run them.
 * `notebooks.json` beside this file says what there is: [{"path": …, "label": …, "title": …}, …].
 */
(() => {
  const address = new URL('notebooks.json', document.currentScript.src);
  let shared;

  /** What JupyterLab shares under a name, whatever its version. */
  async function use(name) {
    const [offer] = Object.values(shared[name]);
    return (await offer.get())();
  }

  /** A card's picture: cards of this category have one of a kernel, or else their first letter. */
  function picture(number) {
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40"><rect width="40" height="40" rx="8"
      fill="#1f4e79"/><text x="20" y="27" text-anchor="middle" font-family="sans-serif" font-size="19" font-weight="600"
      fill="#ffffff">${number}</text></svg>`;
    return `data:image/svg+xml,${encodeURIComponent(svg)}`;
  }

  /** The code cells up to the one with the form, which follows the parameters. */
  function cellsToTheForm(notebook) {
    const code = notebook.widgets.filter(cell => cell.model.type === 'code');
    const parameters = code.findIndex(cell => (cell.model.getMetadata('tags') || []).includes('parameters'));
    return parameters < 0 ? [] : code.slice(0, parameters + 2);
  }

  /** Whether a kernel has the form: after a reload of the page its own is shown, with what was typed into it. */
  async function hasForm(kernel) {
    const asked = "any(name in globals() for name in ('choice', 'start'))";
    const request = { code: '', silent: true, store_history: false, user_expressions: { asked } };
    const { content } = await kernel.requestExecute(request).done;
    return content.user_expressions?.asked?.data?.['text/plain'] !== 'False';
  }

  async function plugins() {
    const [
      { ILauncher }, { DirListing, IDefaultFileBrowser }, { notebookIcon }, { INotebookTracker, NotebookActions }
    ] = await Promise.all([
      use('@jupyterlab/launcher'), use('@jupyterlab/filebrowser'), use('@jupyterlab/ui-components'),
      use('@jupyterlab/notebook')
    ]);
    const notebooks = await (await fetch(address)).json();
    const labels = new Map(notebooks.map(each => [each.path, each.label]));
    return [
      {
        id: 'bucketav-runbook:launcher',
        autoStart: true,
        requires: [ILauncher],
        activate: (app, launcher) => {
          notebooks.forEach(({ path, label, title }, index) => {
            const command = `bucketav-runbook:open-${index}`;
            const execute = () => app.commands.execute('docmanager:open', { path });
            app.commands.addCommand(command, { label, caption: title, icon: notebookIcon, execute });
            // Before the cards for new notebooks: JupyterLab shows this category first, and its cards by their ranks.
            launcher.add({ command, category: 'Notebook', rank: index - 1000, kernelIconUrl: picture(path.slice(0, 2)) });
          });
        }
      },
      {
        id: 'bucketav-runbook:titles',
        autoStart: true,
        requires: [IDefaultFileBrowser],
        activate: (app, browser) => {
          const renderer = DirListing.defaultRenderer;
          const update = renderer.updateItemNode;
          renderer.updateItemNode = function (node, model, ...rest) {
            update.call(this, node, model, ...rest);
            const text = node.querySelector('.jp-DirListing-itemText span');
            if (text && labels.has(model.path)) {
              text.textContent = labels.get(model.path);
            }
          };
          // Room for the titles; once the settings, which have a say in it too, are there.
          app.restored.then(() => { browser.showLastModifiedColumn = false; });
        }
      },
      {
        id: 'bucketav-runbook:begin',
        autoStart: true,
        requires: [INotebookTracker],
        activate: (app, tracker) => {
          tracker.widgetAdded.connect(async (_, { content, context, sessionContext }) => {
            await context.ready;
            if (!labels.has(context.path)) return;
            await sessionContext.ready;
            const kernel = sessionContext.session?.kernel;
            if (!kernel || await hasForm(kernel)) return;
            await NotebookActions.runCells(content, cellsToTheForm(content), sessionContext);
          });
          // "Try again" in an output: from its cell on, with the form as it is.
          document.addEventListener('click', event => {
            const panel = tracker.find(({ node }) => event.target.closest('.rb-again') && node.contains(event.target));
            if (!panel) return;
            const { content, sessionContext } = panel;
            content.activeCellIndex = content.widgets.findIndex(({ node }) => node.contains(event.target));
            void NotebookActions.runAllBelow(content, sessionContext);
          });
        }
      }
    ];
  }

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB['bucketav-runbook'] = {
    init: scope => { shared = scope; },
    get: async () => {
      const made = await plugins();
      return () => ({ __esModule: true, default: made });
    }
  };
})();
