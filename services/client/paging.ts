/** Lists that servers answer page by page. */

export async function* pages<Page extends { readonly nextPageToken: string }>(fetch: (pageToken: string) => Promise<Page>): AsyncGenerator<Page, void, undefined> {
  let pageToken = '';
  do {
    const page = await fetch(pageToken);
    yield page;
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
}
