// Where WebGPU is missing: what to do, in this browser.

/** A sentence for the browser that asks. */
export function remedy(agent = navigator.userAgent, secure = isSecureContext): string {
  if (!secure) return 'WebGPU works on secure pages only: open this one over https, or on localhost.';
  const version = (pattern: RegExp) => Number(pattern.exec(agent)?.[1] ?? 0);
  const firefox = version(/Firefox\/(\d+)/);
  if (firefox >= 141)
    return 'In Firefox, open about:config, set dom.webgpu.enabled to true, and reload this page. Firefox 141 and later have it on by default on Windows; on Linux it needs this switch.';
  if (firefox)
    return `This is Firefox ${firefox}; WebGPU is there from version 141 on. Update Firefox, or open this page in Chrome or Edge.`;
  if (/Edg\/|Chrome\//.test(agent)) {
    if (version(/Chrome\/(\d+)/) < 113) return 'Chrome and Edge have WebGPU from version 113 on: update the browser.';
    if (/Linux/.test(agent) && !/Android/.test(agent))
      return 'Chrome found no GPU that it trusts. On Linux open chrome://flags, enable “Unsafe WebGPU Support” and “Vulkan”, and restart; chrome://gpu says more.';
    return 'The browser found no GPU that it trusts. Switch on “Use graphics acceleration when available” in its settings, update the graphics driver, and restart; chrome://gpu says more.';
  }
  if (/Safari\//.test(agent)) {
    const safari = version(/Version\/(\d+)/);
    return safari >= 26
      ? 'Safari has WebGPU, but found no GPU: update macOS or iOS, and see that no content blocker stops it.'
      : 'Safari has WebGPU from version 26 on: update macOS or iOS, or open this page in Chrome or Edge.';
  }
  return 'Open this page in Chrome or Edge, in Safari 26, or in Firefox 141 or later.';
}
