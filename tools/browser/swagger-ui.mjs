// Drives our Swagger UI in a real browser, as a new user would: sign in through the login operation, read,
// write twice, read and then act. Prints what it did; the first thing that is not as it must be ends it.
//
// usage: node swagger-ui.mjs BASE_URL SIGN_INS_JSON SCREENSHOT.png [ACCOUNT]
//
// Nothing about bodies or parameters is written here: what is sent is what the page offers from the document's
// own examples, because the examples must work as they stand. Only the username and password are typed in.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { chromium } = createRequire(new URL("../.cache/npm/", import.meta.url))("playwright-core");

const [baseUrl, signIns, screenshot, account = "city-admin"] = process.argv.slice(2);
const { username, password } = JSON.parse(readFileSync(signIns, "utf8")).find((entry) => entry.username === account);
const origin = new URL(baseUrl).origin;

// The flags keep Chromium from calling its maker; as root it runs without its sandbox. Playwright makes a new, empty profile.
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
let page;
try {
  page = await browser.newPage({ viewport: { width: 1400, height: 1000 }, locale: "zh-CN" });
  page.setDefaultTimeout(30_000);

  const complaints = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(`console ${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`page error: ${error.message}`));
  page.on("requestfailed", (request) => complaints.push(`request failed: ${request.url()} ${request.failure()?.errorText}`));
  page.on("request", (request) => {
    const url = new URL(request.url());
    // data: and blob: are the page's own bytes, not requests.
    if (url.origin !== origin && !["data:", "blob:"].includes(url.protocol)) complaints.push(`request to another origin: ${request.url()}`);
  });

  const document = await (await fetch(`${baseUrl}/api-docs/openapi.json`)).json();
  const operations = new Map();
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      if (operation.operationId) operations.set(operation.operationId, { path, method: method.toUpperCase(), tag: operation.tags[0] });
    }
  }

  // ---- the page itself -----------------------------------------------------------------------------
  await page.goto(`${baseUrl}/swagger-ui/`);
  await page.waitForSelector(".opblock-tag");
  const shown = await page.locator(".opblock-tag").evaluateAll((tags) => tags.map((tag) => tag.getAttribute("data-tag")));
  assert.deepEqual(shown, document.tags.map((tag) => tag.name), "the tags are shown in the document's order");
  const described = await page.locator(".opblock-tag small").allInnerTexts();
  for (const text of described) assert.match(text, /^\p{Script=Han}+ · [A-Z]/u, "each tag is named in Chinese and English");
  assert.equal(described.length, shown.length, "each tag is described");
  await page.screenshot({ path: screenshot, fullPage: true });
  say(`${shown.length} tags, ${operations.size} operations`);

  // A deep link opens its operation; the rest is opened by clicking, so that the page keeps its state.
  const login = operations.get("login");
  await page.goto("about:blank");
  await page.goto(`${baseUrl}/swagger-ui/#/${encodeURIComponent(login.tag)}/login`);
  await block("login").locator(".opblock-body").waitFor();
  say("the deep link opened login");

  // ---- sign in ---------------------------------------------------------------------------------------
  await page.waitForSelector(".auth-wrapper .authorize.unlocked");
  const signedIn = await execute("login", { body: (example) => ({ ...example, username, password }) });
  assert.equal(signedIn.status, 200, "login");
  await page.waitForSelector(".auth-wrapper .authorize.locked");
  say(`signed in as ${username}; the page is authorized`);

  // ---- a token that another operation answers is taken too ----------------------------------------------
  const steppedUp = await execute("step_up", { body: () => ({ password }) });
  assert.equal(steppedUp.status, 200, "step_up");
  const me = await execute("get_me");
  assert.ok(me.requestHeaders.authorization === `Bearer ${steppedUp.body.access_token}`, "the page uses the newest token");
  say("step_up: the page uses its token");

  // ---- read ------------------------------------------------------------------------------------------
  const list = await execute("list_organizations");
  assert.equal(list.status, 200, "list_organizations");
  assert.ok(list.body.items.length > 0, "the list shows organizations");
  assert.match(list.requestHeaders.authorization ?? "", /^Bearer /, "the token goes with the request");
  say(`list_organizations: ${list.body.items.length} organizations`);

  // ---- two writes: the same example, two objects -----------------------------------------------------
  const first = await execute("create_site");
  const second = await execute("create_site");
  assert.deepEqual([first.status, second.status], [201, 201], "create_site twice");
  assert.ok(first.requestHeaders["idempotency-key"], "an Idempotency-Key is sent");
  assert.notEqual(first.requestHeaders["idempotency-key"], second.requestHeaders["idempotency-key"], "a fresh Idempotency-Key at each Execute");
  assert.notEqual(first.body.id, second.body.id, "two objects");
  say(`create_site: ${first.body.id} and ${second.body.id}`);

  // ---- read, then act: If-Match is the last ETag seen ------------------------------------------------
  const organization = await execute("get_organization");
  assert.equal(organization.status, 200, "get_organization");
  const updated = await execute("update_organization");
  assert.equal(updated.status, 200, "update_organization");
  assert.equal(version(updated.requestHeaders["if-match"]), version(organization.responseHeaders.etag), "If-Match is the ETag just read");
  const again = await execute("update_organization");
  assert.equal(again.status, 200, "update_organization again, on the version that the first one answered");
  say(`update_organization: version ${version(organization.responseHeaders.etag)} to ${version(again.responseHeaders.etag)}`);

  // ---- act, then act again, on an object never read: what the first action answered is the last ETag seen --------
  const accredited = await execute("accredit_site");
  assert.equal(accredited.status, 200, "accredit_site");
  const closedNext = await execute("close_site");
  assert.equal(version(closedNext.requestHeaders["if-match"]), version(accredited.responseHeaders.etag), "If-Match is the ETag of the action before");
  assert.equal(closedNext.status, 200, "close_site after accredit_site");
  say(`accredit_site, then close_site: version ${version(accredited.responseHeaders.etag)} to ${version(closedNext.responseHeaders.etag)}`);

  const site = await execute("get_site", { parameters: { [idParameter("get_site")]: second.body.id } });
  assert.equal(site.status, 200, "get_site");
  const closed = await execute("close_site", { parameters: { [idParameter("close_site")]: second.body.id } });
  assert.equal(closed.status, 200, "close_site");
  assert.equal(closed.body.status, "closed", "the site is closed");
  say("close_site: closed");

  await block("close_site").scrollIntoViewIfNeeded();
  await page.screenshot({ path: screenshot.replace(/(\.\w+)?$/, "-executed$1") });
  assert.deepEqual(complaints, [], "no console message, no failed request, nothing from outside");
  say("no console errors, nothing requested from outside");

  // ---- helpers ---------------------------------------------------------------------------------------
  function say(text) {
    console.log(`ok  ${text}`);
  }

  // Swagger UI's id of an operation is operations-<tag>-<operationId>; our operationIds have no hyphen.
  function block(operationId) {
    return page.locator(`.opblock[id^="operations-"][id$="-${operationId}"]`);
  }

  function idParameter(operationId) {
    return operations.get(operationId).path.match(/\{(\w+)\}/)[1];
  }

  function version(etag) {
    return etag?.replaceAll('"', "").split(".")[0];
  }

  async function open(operationId) {
    const operation = operations.get(operationId);
    assert.ok(operation, `the document has an operation ${operationId}`);
    const found = block(operationId);
    if (!(await found.isVisible())) {
      await page.locator(`.opblock-tag[data-tag="${operation.tag}"]`).click();
      await found.waitFor();
    }
    if (!(await found.locator(".opblock-body").isVisible())) await found.locator(".opblock-summary-control").click();
    await found.locator(".opblock-body").waitFor();
    // With try-it-out on by default the button reads "Cancel"; press it only if the form is closed.
    if (!(await found.locator(".btn.execute").isVisible())) await found.locator(".try-out__btn").click();
    await found.locator(".btn.execute").waitFor();
    return found;
  }

  async function execute(operationId, { body, parameters = {} } = {}) {
    const { path, method } = operations.get(operationId) ?? {};
    const found = await open(operationId);
    for (const [name, value] of Object.entries(parameters)) {
      await found.locator(`tr[data-param-name="${name}"] input`).fill(value);
    }
    if (body) {
      const editor = found.locator("textarea.body-param__text");
      await editor.fill(JSON.stringify(body(JSON.parse(await editor.inputValue())), null, 2));
    }
    const template = new RegExp(`^${path.replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace(/\{\w+\}/g, "[^/]+")}$`);
    const answered = page
      .waitForResponse((response) => response.request().method() === method && template.test(new URL(response.url()).pathname))
      // Without this the only word would be a timeout, while the page says what it misses.
      .catch(async (error) => {
        const invalid = await found.locator("tr:has(.invalid)").allInnerTexts();
        throw new Error(`${operationId}: no request was sent. Invalid in the form: ${JSON.stringify(invalid)}. ${error.message}`);
      });
    await found.locator(".btn.execute").click();
    const response = await answered;
    const status = response.status();
    // The page itself shows the answer.
    await found.locator(".live-responses-table .response-col_status", { hasText: String(status) }).first().waitFor();
    const text = await response.text();
    if (status >= 400) console.log(`    ${operationId}: ${status} ${text.slice(0, 500)}`);
    return {
      status,
      body: text ? JSON.parse(text) : null,
      requestHeaders: await response.request().allHeaders(),
      responseHeaders: await response.allHeaders(),
    };
  }
} catch (error) {
  // The picture of the moment of failure says more than the message.
  await page?.screenshot({ path: screenshot.replace(/(\.\w+)?$/, "-failed$1"), fullPage: true }).catch(() => {});
  console.error(`FAIL ${error.message}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
