export function floor_plan(floor: number): string {
  const rooms: Record<number, string[]> = { 0: ["cellar"], 1: ["hall", "shop"], 2: ["tower"] };
  return (rooms[floor] ?? ["nothing"]).join(", ");
}
